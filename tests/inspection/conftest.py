"""A clean data set for every test that spoils one."""

from pathlib import Path

import pytest
from torch import Tensor

from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.inspection import detection
from mnv2_dense.inspection.anchors import config_anchors
from tests.inspection.data_set import DataSet


@pytest.fixture
def clean(tmp_path: Path) -> DataSet:
    return DataSet(tmp_path / "data")


@pytest.fixture(scope="session")
def tiny_anchors(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return config_anchors(DataSet(tmp_path_factory.mktemp("anchors") / "data").detection())


@pytest.fixture
def same_anchors(tiny_anchors: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the tests a network each: all of their configs have the same anchors."""

    def known(config: DetectionConfig) -> Tensor:
        return tiny_anchors

    monkeypatch.setattr(detection, "config_anchors", known)
