from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.exporting import litert_file
from mnv2_dense.importing.tflite import read_tflite
from mnv2_dense.prediction.litert_engine import LiteRtEngine
from mnv2_dense.prediction.manifest import Manifest
from tests.exporting.small_networks import (
    DECODING,
    check_maps,
    check_same,
    detector,
    expected_detections,
    manifest,
    pictures,
    segmenter,
)

ACROSS = {**DECODING, "nms": "across_classes", "score_threshold": 0.0, "max_candidates": None}


@pytest.fixture(scope="module")
def converted() -> bytes:
    """The detector before its NMS."""
    of = manifest("detection")
    return litert_file.convert(litert_file.prepare(detector(), of), of)


@pytest.fixture(scope="module")
def segmenter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("litert") / "a.tflite"
    litert_file.write(segmenter(), manifest("segmentation"), path)
    return path


def open_detector(content: bytes, of: Manifest, path: Path, threads: int = 1) -> LiteRtEngine:
    path.write_bytes(litert_file.finish(content, replace(of, batch=1, dynamic_size=False)))
    return LiteRtEngine(path, threads=threads)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "decoding", [DECODING, {**DECODING, "max_candidates": 7}, {**DECODING, "score_threshold": 1.0}]
)
def test_detections_are_those_of_torch(
    converted: bytes, tmp_path: Path, decoding: dict[str, object], threads: int
) -> None:
    of = manifest("detection", decoding)
    engine = open_detector(converted, of, tmp_path / "a.tflite", threads)
    images = pictures(4)
    arrays = engine.run(images)
    expected = expected_detections(detector(), images, decoding)
    if decoding["score_threshold"] == 1.0:
        assert all(len(each.scores) == 0 for each in expected)
        assert not arrays[1].any()
        return
    check_same(arrays, expected)


@pytest.mark.long
def test_boxes_outside_the_picture_compete_across_classes(tmp_path: Path) -> None:
    litert_file.write(detector(), manifest("detection", ACROSS), tmp_path / "a.tflite")
    images = pictures(4)
    expected = expected_detections(detector(), images, ACROSS)
    check_same(LiteRtEngine(tmp_path / "a.tflite", threads=2).run(images), expected)


def test_lower_scores_are_left_out_on_demand(converted: bytes, tmp_path: Path) -> None:
    engine = open_detector(converted, manifest("detection"), tmp_path / "a.tflite")
    everything, best = (engine.run(pictures(1), threshold)[1] for threshold in (0.0, 0.97))
    np.testing.assert_array_equal(best[best > 0], everything[everything >= 0.97])
    assert 0 < (best > 0).sum() < (everything > 0).sum()


def test_convolutions_have_no_transposes_around_them(segmenter_file: Path) -> None:
    graph = read_tflite(segmenter_file)
    operations = [node.op for node in graph.nodes]
    assert operations.count("conv2d") > 3
    assert not {"transpose", "pad", "broadcast_to"} & set(operations)


def test_label_maps_and_logits_are_those_of_torch(segmenter_file: Path) -> None:
    engine, images = LiteRtEngine(segmenter_file, threads=1), pictures(2)
    check_maps(engine.run(images), segmenter(), images)


def test_the_manifest_comes_back_for_one_picture_of_one_size(segmenter_file: Path) -> None:
    expected = replace(manifest("segmentation"), batch=1, dynamic_size=False)
    assert LiteRtEngine(segmenter_file).manifest == expected


def test_a_limit_per_class_is_refused(tmp_path: Path) -> None:
    of = manifest("detection", {**DECODING, "max_detections_per_class": 3})
    with pytest.raises(UserError, match=r"max_detections_per_class=3 is not to be had"):
        litert_file.write(detector(), of, tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())
