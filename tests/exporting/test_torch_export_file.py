import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.exporting.torch_export_file import write
from mnv2_dense.prediction.manifest import KEY, read_manifest
from mnv2_dense.prediction.network import DeployedSegmenter
from mnv2_dense.prediction.torch_export_archive import check_archive
from mnv2_dense.prediction.torch_export_engine import TorchExportEngine
from mnv2_dense.segmentation.network import SegmenterOutputs
from tests.exporting.small_networks import (
    CLASSES,
    MEAN,
    STD,
    check_maps,
    check_same,
    detector,
    expected_detections,
    manifest,
    pictures,
)

SEGMENTATION = replace(manifest("segmentation"), dynamic_size=False)
DETECTION = replace(manifest("detection"), dynamic_size=False)


class Layers(nn.Module):
    """A segmenter's network of the layers given."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> SegmenterOutputs:
        return SegmenterOutputs(self.layers(images))


def of_layers(*more: nn.Module) -> DeployedSegmenter:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, CLASSES, 3, stride=4, padding=1).requires_grad_(False)
    nn.init.kaiming_normal_(convolution.weight)
    return DeployedSegmenter(Layers(convolution, *more), MEAN, STD).eval()


@pytest.fixture(scope="module")
def segmenter() -> DeployedSegmenter:
    return of_layers()


@pytest.fixture(scope="module")
def segmenter_file(segmenter: DeployedSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch_export") / "segmenter.pt2"
    write(segmenter, SEGMENTATION, path)
    return path


@pytest.fixture(scope="module")
def engine(segmenter_file: Path) -> TorchExportEngine:
    return TorchExportEngine(segmenter_file)


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch_export") / "detector.pt2"
    write(detector(), DETECTION, path)
    return path


@pytest.mark.parametrize("count", [1, 2, 5])
def test_label_maps_and_logits_are_those_of_torch_in_every_batch(
    segmenter: DeployedSegmenter, engine: TorchExportEngine, count: int
) -> None:
    images = pictures(count)
    check_maps(engine.run(images), segmenter, images)


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 3])
def test_detections_are_those_of_the_decoder_in_every_batch(
    detector_file: Path, count: int
) -> None:
    images = pictures(count)
    engine = TorchExportEngine(detector_file)
    check_same(engine.run(images), expected_detections(detector(), images))
    _, scores, *_ = engine.run(images, 0.97)
    assert 0 < (scores > 0).sum() < (engine.run(images)[1] > 0).sum()
    assert scores[scores > 0].min() >= np.float32(0.97)


def test_a_fixed_batch_is_the_only_one(segmenter: DeployedSegmenter, tmp_path: Path) -> None:
    write(segmenter, replace(SEGMENTATION, batch=2), tmp_path / "a.pt2")
    engine = TorchExportEngine(tmp_path / "a.pt2")
    assert engine.manifest.batch == 2
    check_maps(engine.run(pictures(2)), segmenter, pictures(2))
    with pytest.raises(UserError, match="cannot be run on pictures 3 x 32 x 48 x 3"):
        engine.run(pictures(3))


def test_the_manifest_comes_back(engine: TorchExportEngine) -> None:
    assert engine.manifest == SEGMENTATION


def test_the_manifest_is_a_record_of_its_own(segmenter_file: Path) -> None:
    with zipfile.ZipFile(segmenter_file) as archive:
        (place,) = (each for each in archive.namelist() if each.endswith(f"extra/{KEY}"))
        text = archive.read(place).decode()
    assert read_manifest(text, segmenter_file) == SEGMENTATION


FILES = ["segmenter_file", pytest.param("detector_file", marks=pytest.mark.long)]


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_opened_again_and_names_no_place_of_this_machine(
    name: str, request: pytest.FixtureRequest
) -> None:
    content = request.getfixturevalue(name).read_bytes()
    check_archive(content)
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content
    assert b".py" not in content


@pytest.mark.parametrize("name", FILES)
def test_example_inputs_and_traces_are_left_out(name: str, request: pytest.FixtureRequest) -> None:
    with zipfile.ZipFile(request.getfixturevalue(name)) as archive:
        records = {each.partition("/")[2]: each for each in archive.namelist()}
        graph = json.loads(archive.read(records["models/model.json"]))
        examples = archive.read(records["data/sample_inputs/model.pt"])
    assert examples == b""
    nodes: list[dict[str, Any]] = graph["graph_module"]["graph"]["nodes"]
    assert len(nodes) > 5
    assert not any("stack_trace" in each["metadata"] for each in nodes)


class Branching(nn.Module):
    """What it computes depends on values, which no tracer can follow."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


def test_a_network_that_cannot_be_traced_is_one_line_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written by torch\.export") as refusal:
        write(of_layers(Branching()), SEGMENTATION, tmp_path / "a.pt2")
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_an_operation_that_would_not_be_opened_is_one_line_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written so .*aten\.erf") as refusal:
        write(of_layers(Erf()), SEGMENTATION, tmp_path / "a.pt2")
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


class Erf(nn.Module):
    """An activation that no network of ours has."""

    def forward(self, features: Tensor) -> Tensor:
        return features.erf()
