from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.exporting.onnx_file import build_model, write
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.engine import DetectorArrays, SegmenterArrays
from mnv2_dense.prediction.manifest import KEY, Manifest, read_manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector
from mnv2_dense.prediction.onnx_engine import OnnxEngine
from mnv2_dense.structures import ImageSize
from tests.exporting.networks import pictures, tiny, tiny_task

SHARES = ImageSize(1, 1)


def opened(deployed: Deployed, manifest: Manifest, folder: Path) -> OnnxEngine:
    write(deployed, manifest, folder / "network.onnx")
    return OnnxEngine(folder / "network.onnx", threads=1)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_detectors_file_gives_the_decoders_boxes_in_batches(
    tmp_path: Path, padding: str, dynamic: bool
) -> None:
    override = f"backbone.padding={padding}"
    deployed, manifest = tiny("detection", override, dynamic_size=dynamic)
    _, task = tiny_task("detection", override)
    assert isinstance(task, DetectionTask)
    assert isinstance(deployed, DeployedDetector)
    engine = opened(deployed, manifest, tmp_path)
    for size in [tuple(manifest.input_size), *([(96, 65)] if dynamic else [])]:
        images = pictures(manifest, 3, size)
        expected = task.decoder(deployed.outputs(images), [SHARES] * 3)
        found = engine.run(images.numpy())
        assert isinstance(found, DetectorArrays)
        assert any(len(each.scores) for each in expected)
        for ours, boxes, scores, labels in zip(expected, *found, strict=True):
            count = len(ours.scores)
            np.testing.assert_allclose(scores[:count], ours.scores, atol=1e-4)
            # Which of two equal scores is the last one is a matter of rounding.
            sure = int((ours.scores > ours.scores[-1] + 1e-5).sum())
            assert sure > count / 2
            np.testing.assert_allclose(boxes[:sure], ours.boxes[:sure], atol=1e-4)
            np.testing.assert_array_equal(labels[:sure], ours.labels[:sure])
            assert not scores[count:].any()


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_segmenters_file_gives_the_label_map_at_the_input_size(
    tmp_path: Path, align_corners: bool, dynamic: bool
) -> None:
    override = f"head.align_corners={align_corners}".lower()
    deployed, manifest = tiny("segmentation", override, dynamic_size=dynamic)
    engine = opened(deployed, manifest, tmp_path)
    for size in [tuple(manifest.input_size), *([(49, 80)] if dynamic else [])]:
        images = pictures(manifest, 2, size)
        logits = deployed(images)
        enlarged = resize_map(logits, ImageSize(*size), align_corners)
        found = engine.run(images.numpy())
        assert isinstance(found, SegmenterArrays)
        np.testing.assert_allclose(found.class_logits, logits, atol=1e-4)
        assert found.label_maps.dtype == np.uint8
        assert len(np.unique(found.label_maps)) > 1
        best = enlarged.max(dim=1)
        ours = torch.from_numpy(found.label_maps).long()[:, None]
        # Another class only where it is as good.
        assert torch.allclose(enlarged.gather(1, ours)[:, 0], best.values, atol=1e-4)
        assert (ours[:, 0] == best.indices).float().mean() > 0.995


def test_the_file_says_what_it_is() -> None:
    deployed, manifest = tiny("segmentation")
    model = build_model(deployed, manifest)
    onnx.checker.check_model(model, full_check=True)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert read_manifest(entries[KEY], "the file") == manifest
    assert entries["classes"].startswith("class 0, class 1")
    assert entries["licence"] == "not given"


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_the_outputs_sides_are_named(task: str, dynamic: bool) -> None:
    deployed, manifest = tiny(task, dynamic_size=dynamic)
    outputs = {
        each.name: [side.dim_param or side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in build_model(deployed, manifest).graph.output
    }
    sides = ["height", "width"] if dynamic else list(manifest.input_size)
    if task == "segmentation":
        assert outputs["label_map"] == ["batch", *sides]
        assert outputs["class_logits"][:2] == ["batch", len(manifest.names)]
    else:
        found = ["batch", "detections"]
        assert outputs == {"boxes": [*found, 4], "scores": found, "labels": found}


def test_paths_of_this_machine_are_not_in_the_file() -> None:
    content = build_model(*tiny("detection")).SerializeToString()
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content
