import re
from pathlib import Path

import pytest

from mnv2_dense.exporting import onnx_file, openvino_file
from mnv2_dense.prediction.manifest import KEY
from mnv2_dense.prediction.openvino_engine import OpenVinoEngine
from mnv2_dense.structures import ImageSize
from tests.exporting.small_networks import (
    DECODING,
    SIZE,
    check_maps,
    check_same,
    detector,
    expected_detections,
    manifest,
    pictures,
    segmenter,
)

ACROSS = {**DECODING, "nms": "across_classes", "score_threshold": 0.0, "max_candidates": None}
PER_CLASS = {**DECODING, "max_detections_per_class": 2}


@pytest.mark.parametrize("decoding", [DECODING, PER_CLASS, ACROSS])
def test_detections_are_those_of_torch_at_any_size(
    tmp_path: Path, decoding: dict[str, object]
) -> None:
    path = tmp_path / "a.xml"
    openvino_file.write(detector(), manifest("detection", decoding), path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "a.xml"]
    engine = OpenVinoEngine(path, threads=1)
    for images in (pictures(3), pictures(1, ImageSize(64, 40))):
        arrays = engine.run(images)
        check_same(arrays, expected_detections(detector(), images, decoding))
    _, scores, *_ = engine.run(pictures(2), score_threshold=0.97)
    assert scores.any()
    assert scores[scores > 0].min() >= 0.97
    _, scores, *_ = engine.run(pictures(2), score_threshold=1.0)
    assert not scores.any()


@pytest.fixture(scope="module")
def segmenter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openvino") / "a.xml"
    openvino_file.write(segmenter(), manifest("segmentation"), path)
    return path


@pytest.mark.parametrize("size", [SIZE, ImageSize(41, 33)])
def test_label_maps_and_logits_are_those_of_torch(segmenter_file: Path, size: ImageSize) -> None:
    images = pictures(2, size)
    engine = OpenVinoEngine(segmenter_file, threads=1)
    check_maps(engine.run(images), segmenter(), images)


def test_onnx_files_are_opened_with_the_same_results(tmp_path: Path) -> None:
    images = pictures(2)
    onnx_file.write(detector(), manifest("detection"), tmp_path / "a.onnx")
    engine = OpenVinoEngine(tmp_path / "a.onnx", threads=1)
    check_same(engine.run(images), expected_detections(detector(), images))
    _, scores, *_ = engine.run(images, score_threshold=0.97)
    assert scores[scores > 0].min() >= 0.97
    onnx_file.write(segmenter(), manifest("segmentation"), tmp_path / "b.onnx")
    check_maps(OpenVinoEngine(tmp_path / "b.onnx", threads=1).run(images), segmenter(), images)


def test_the_manifest_comes_back(segmenter_file: Path) -> None:
    engine = OpenVinoEngine(segmenter_file)
    assert engine.manifest == manifest("segmentation")
    assert re.fullmatch(r"OpenVINO 20\d\d\.\S+", engine.name)


def test_weights_stay_float32(segmenter_file: Path) -> None:
    text = segmenter_file.read_text()
    assert KEY in text
    assert 'element_type="f32"' in text
    assert "f16" not in text
