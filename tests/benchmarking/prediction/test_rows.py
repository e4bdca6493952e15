from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnv2_dense.benchmarking.prediction import rows
from mnv2_dense.benchmarking.prediction.rows import (
    ALONE,
    EAGER,
    FOLDED,
    TFLITE,
    Calls,
    detector_rows,
    inside,
    segmenter_rows,
    shown_pictures,
    size_of,
    whole,
)
from mnv2_dense.benchmarking.prediction.subjects import Subject
from tests.benchmarking.prediction.tiny_networks import PICTURE, Peer, lineup_of


@pytest.fixture(scope="module")
def calls(segmenter: Subject) -> Iterator[Calls]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "build_deeplab", Peer)
        patch.setattr(rows, "LARGER", 180)
        yield segmenter_rows(lineup_of(segmenter, ("onnx", "torch")))


@pytest.fixture(scope="module")
def detector_calls(detector: Subject) -> Iterator[Calls]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "build_ssdlite", Peer)
        yield detector_rows(lineup_of(detector, ("onnx", "torch")))


def test_a_segmenter_is_timed_on_two_sizes_beside_its_peers(calls: Calls) -> None:
    assert list(calls) == [
        *("ours by onnx, 120x90", "ours by torch, 120x90"),
        *("torchvision, 120x90", "torchvision by max(1), 120x90"),
        *("ours by onnx, 180x135", "ours by torch, 180x135"),
        *("torchvision, 180x135", "torchvision by max(1), 180x135"),
        *("ONNX Runtime, network alone", "eager network", "folded network"),
    ]
    for name in (whole("onnx", "180x135"), whole("torch", "180x135")):
        assert calls[name]().label_map.shape == (135, 180)


def test_the_network_gives_the_same_by_torch_and_bare_runtime(calls: Calls) -> None:
    eager, folded, (alone,) = calls[EAGER]().class_logits, calls[FOLDED](), calls[ALONE]()
    torch.testing.assert_close(folded, eager, atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(alone, folded, atol=1e-3, rtol=1e-3)


def test_a_detector_is_timed_at_two_thresholds(detector_calls: Calls) -> None:
    assert list(detector_calls) == [
        *("ours by onnx, 0.3", "ours by torch, 0.3", "ONNX file alone, 0.3", "torchvision, 0.3"),
        *("ours by onnx, 0.01", "ours by torch, 0.01", "ONNX file alone, 0.01"),
        *("torchvision, 0.01", "ONNX Runtime, network alone", "eager network", "folded network"),
    ]
    counts = []
    for threshold in (0.3, 0.01):
        found = detector_calls[whole("onnx", threshold)]()
        assert found.scores.min() >= threshold
        inner = detector_calls[inside(threshold)]().scores[0]
        np.testing.assert_allclose(inner[inner > 0], found.scores)
        counts.append(len(found.scores))
    assert 0 < counts[0] < counts[1]


def test_the_detectors_bare_maps_are_those_of_its_logits(detector_calls: Calls) -> None:
    maps = detector_calls[ALONE]()
    logits = detector_calls[FOLDED]().class_logits
    torch.testing.assert_close(detector_calls[EAGER]().class_logits, logits, atol=1e-3, rtol=1e-3)
    class_maps = maps[: len(maps) // 2]
    flat = np.concatenate([np.moveaxis(each, 1, 3).reshape(1, -1, 91) for each in class_maps], 1)
    np.testing.assert_allclose(flat, logits, atol=1e-3, rtol=1e-3)


def test_without_onnx_runtime_its_rows_are_left_out(
    segmenter: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "build_deeplab", Peer)
    found = segmenter_rows(lineup_of(segmenter, ("torch",)))
    assert not [name for name in found if "ONNX" in name or "onnx" in name]
    assert {EAGER, FOLDED} < found.keys()


def test_the_tflite_runtime_is_timed_on_the_file(
    segmenter: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "build_deeplab", Peer)
    monkeypatch.setattr(rows, "tflite_call", _arguments)
    path = Path("some.tflite")
    calls: Any = segmenter_rows(lineup_of(segmenter, ("torch",), path))
    assert calls[TFLITE] == (path, 1, segmenter.manifest.input_size)


def _arguments(*given: object) -> tuple[object, ...]:
    return given


def test_a_larger_picture_is_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LARGER", 160)
    assert [size_of(each) for each in shown_pictures(PICTURE)] == ["120x90", "160x120"]
    large = np.zeros((160, 20, 3), np.uint8)
    assert [size_of(each) for each in shown_pictures(large)] == ["20x160"]
