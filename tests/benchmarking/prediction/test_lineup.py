from pathlib import Path

import pytest

from mnv2_dense.benchmarking.prediction import lineup
from mnv2_dense.benchmarking.prediction.lineup import line_up
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.benchmarking.prediction.wanted import Wanted
from mnv2_dense.errors import UserError
from mnv2_dense.exporting import formats
from tests.benchmarking.prediction.tiny_networks import PICTURE, TINY_SEGMENTER


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lineup.SETTINGS, "segmentation", TINY_SEGMENTER)


def test_engines_and_other_files_stand_side_by_side(segmenter: Subject, tmp_path: Path) -> None:
    wanted = Wanted(threads=1, engines=["torch"], models=[segmenter.path("onnx")])
    found = line_up("segmentation", PICTURE, tmp_path, wanted)
    assert list(found.ours) == ["torch", "segmentation.onnx"]
    assert found.opened["torch"].path == tmp_path / "segmentation.ckpt"
    assert found.others["segmentation.onnx"].engine is None


def test_without_any_engine_there_is_nothing_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", {}.get)
    with pytest.raises(UserError, match="--engines: onnx: needs onnx, which is not installed"):
        line_up("segmentation", PICTURE, tmp_path, Wanted(engines=["onnx"]))
