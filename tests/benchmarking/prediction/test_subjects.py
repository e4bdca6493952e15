from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv2_dense.benchmarking.prediction.random_weights import CANDIDATES, MIXED
from mnv2_dense.benchmarking.prediction.subjects import Subject, make_subject
from mnv2_dense.exporting import formats
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.network import DeployedDetector
from mnv2_dense.prediction.preparing import prepare_picture
from mnv2_dense.prediction.results import DetectionResult, SegmentationResult
from mnv2_dense.structures import ImageSize
from tests.benchmarking.prediction.tiny_networks import PICTURE, TINY_SEGMENTER

ENGINES = ("onnx", "torch")


def outputs_of(subject: Subject) -> torch.Tensor:
    """Class logits of the network as it was before anything was folded or written."""
    image = (
        torch.from_numpy(prepare_picture(PICTURE, subject.manifest)).permute(2, 0, 1)[None].float()
    )
    task = subject.task.eval()
    with torch.no_grad():
        return task.network((image - task.mean) / task.std).class_logits


def test_engines_give_the_label_map_of_the_network_they_stand_for(segmenter: Subject) -> None:
    logits = outputs_of(segmenter)
    align = segmenter.manifest.decoding["align_corners"]
    pixels = resize_map(logits, segmenter.manifest.input_size, align)
    expected = pixels[..., :90, :120].argmax(1)
    for name, opened in segmenter.open(ENGINES, 1).items():
        result = opened.predictor.predict(PICTURE)
        assert isinstance(result, SegmentationResult)
        assert result.engine.startswith({"onnx": "ONNX", "torch": "PyTorch"}[name])
        assert (result.label_map == expected[0].numpy()).mean() > 0.99
        assert len(np.unique(result.label_map)) > 1


def test_engines_give_the_boxes_of_one_network(detector: Subject) -> None:
    opened = detector.open(ENGINES, 1)
    one, other = (opened[name].predictor.predict(PICTURE) for name in ENGINES)
    assert isinstance(one, DetectionResult)
    assert isinstance(other, DetectionResult)
    assert len(one.boxes) > 5
    np.testing.assert_allclose(one.scores[:5], other.scores[:5], atol=1e-3)
    np.testing.assert_allclose(one.boxes[:5], other.boxes[:5], atol=0.1)
    assert isinstance(detector.deployed, DeployedDetector)
    with torch.no_grad():
        images = torch.from_numpy(prepare_picture(PICTURE, detector.manifest))[None]
        folded = detector.deployed.outputs(images).class_logits
    torch.testing.assert_close(folded, outputs_of(detector), atol=1e-3, rtol=1e-3)


def test_a_detector_has_as_many_candidates_as_a_trained_one(detector: Subject) -> None:
    scores = outputs_of(detector).softmax(-1)[..., 1:]
    for score, count in CANDIDATES.items():
        assert count / 2 < int((scores >= score).sum()) < 2 * count


def test_a_segmenter_gives_objects_before_a_background(segmenter: Subject) -> None:
    best = outputs_of(segmenter)[0].argmax(0)
    corners = torch.stack([best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:]])
    mixed = (corners != corners[0]).any(0).float().mean()
    assert MIXED / 2 <= float(mixed) <= 2 * MIXED
    assert int(best.flatten().mode().values) == 0


def test_an_engine_without_its_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", {}.get)
    engines = ("openvino", "torch")
    subject = make_subject(TINY_SEGMENTER, PICTURE, tmp_path, engines)
    assert list(subject.open(engines, 1)) == ["torch"]
    assert subject.left_out == [
        "openvino: needs onnx, which is not installed; pip install 'mnv2-dense[openvino]'"
    ]


def test_a_file_that_cannot_be_opened_is_named(segmenter: Subject, tmp_path: Path) -> None:
    broken = replace(segmenter, folder=tmp_path, left_out=[])
    broken.path("onnx").write_bytes(b"no model")
    assert broken.open(ENGINES, 1) == {}
    (reason,) = broken.left_out
    assert reason.startswith(f"onnx: {broken.path('onnx')}: cannot be opened by ONNX Runtime")


def test_other_files_are_those_of_the_same_task_and_input(
    detector: Subject, segmenter: Subject
) -> None:
    paths = [detector.path("onnx"), segmenter.path("onnx")]
    assert list(segmenter.open_others(paths, 1)) == ["segmentation.onnx"]
    larger = replace(segmenter.manifest, input_size=ImageSize(129, 65))
    assert replace(segmenter, manifest=larger).open_others(paths, 1) == {}


def test_a_picture_is_prepared_as_predictors_do(segmenter: Subject, detector: Subject) -> None:
    padded = prepare_picture(PICTURE, segmenter.manifest)
    np.testing.assert_array_equal(padded[:90, :120], PICTURE)
    assert padded[90:].std((0, 1)).max() == 0
    shrunken = prepare_picture(np.repeat(PICTURE, 2, axis=0), segmenter.manifest)
    assert shrunken[:, 86:].std((0, 1)).max() == 0  # 180 x 120 became 129 x 86
    assert shrunken[:, 85].std(0).max() > 0
    assert prepare_picture(PICTURE, detector.manifest).shape == (96, 96, 3)
