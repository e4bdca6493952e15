from pathlib import Path

import numpy as np
import pytest
import torch

from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.detection.data import join_targets
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import DetectorArrays, SegmenterArrays
from mnv2_dense.prediction.torch_engine import TorchEngine
from mnv2_dense.segmentation.strips import assemble
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.structures import DetectionBatch, ImageSize, SegmentationBatch


@pytest.fixture(scope="module")
def detector(trained_run: Path) -> Path:
    return trained_run / "checkpoints" / "best.ckpt"


def noise(size: ImageSize) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)


def test_a_detector_sees_what_the_task_predicts(detector: Path) -> None:
    engine = TorchEngine(detector, threads=1)
    size = engine.manifest.input_size
    images = noise(size)
    *_, task = open_checkpoint(detector)
    assert isinstance(task, DetectionTask)
    shown = torch.from_numpy(images).permute(0, 3, 1, 2)
    batch = DetectionBatch(shown, join_targets([]), [0, 1], [size] * 2)
    with torch.no_grad():
        expected = task.eval().predict_step(batch, 0)
    found = engine.run(images)
    assert isinstance(found, DetectorArrays)
    assert found.labels.dtype == np.int64
    for ours, boxes, scores in zip(expected, found.boxes, found.scores, strict=True):
        count = len(ours.scores)
        assert count
        np.testing.assert_allclose(scores[:count], ours.scores, atol=1e-5)
        np.testing.assert_allclose(boxes[:3] * size.width, ours.boxes[:3], atol=1e-2)
    raised = float(found.scores[0, 2])
    few = engine.run(images, raised)
    assert isinstance(few, DetectorArrays)
    assert few.scores[few.scores > 0].min() >= np.float32(raised)
    assert few.scores.shape[1] < found.scores.shape[1]


def test_a_segmenter_sees_what_the_task_predicts(segmentation_run: Path) -> None:
    path = segmentation_run / "checkpoints" / "best.ckpt"
    engine = TorchEngine(path, overrides=["evaluation.output_stride=8"])
    size = engine.manifest.input_size
    images = noise(size)
    *_, task = open_checkpoint(path, ["evaluation.output_stride=8"])
    assert isinstance(task, SegmentationTask)
    batch = SegmentationBatch(
        torch.from_numpy(images).permute(0, 3, 1, 2),
        torch.zeros(2, *size, dtype=torch.uint8),
        [size] * 2,
        ["a", "b"],
    )
    with torch.no_grad():
        expected = torch.stack(assemble(task.eval()._strips(batch), [size] * 2)).numpy()
    found = engine.run(images)
    assert isinstance(found, SegmenterArrays)
    assert found.label_maps.dtype == np.uint8
    assert found.class_logits.shape[2] == -(-size.height // 8)
    assert (found.label_maps == expected).mean() > 0.999


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    path.write_text("no")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        TorchEngine(path)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_none(detector: Path, device: str) -> None:
    with pytest.raises(UserError, match=f"device={device} cannot be used here: "):
        TorchEngine(detector, device=device)
