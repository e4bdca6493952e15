import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2_dense.coco_evaluation import reference
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.measuring import Measured, measure
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import GroundTruth, Results, results_of
from tests.coco_evaluation.scenes import Scene, random_scene

TOLERANCE = 1e-12


def check_equal(scene: Scene) -> Measured:
    ours, theirs = measure(*scene), reference.measure(*scene)
    assert ours.precision.shape == theirs.precision.shape
    assert np.abs(ours.precision - theirs.precision).max(initial=0) <= TOLERANCE
    assert np.abs(ours.recall - theirs.recall).max(initial=0) <= TOLERANCE
    return ours


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_scenes_equal_pycocotools(seed: int) -> None:
    check_equal(random_scene(seed))


@pytest.mark.long
@settings(max_examples=5000, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_thousands_of_random_scenes_equal_pycocotools(seed: int) -> None:
    check_equal(random_scene(seed))


def test_random_scenes_are_no_trivial_ones() -> None:
    scenes = [random_scene(seed) for seed in range(40)]
    values = np.concatenate([measure(*scene).precision.ravel() for scene in scenes])
    assert {-1.0, 0.0} < set(values.tolist())
    assert 0.05 < np.mean((values > 0) & (values < 0.99)) < 0.95
    assert len({len(scene.options.iou_thresholds) for scene in scenes}) == 3


def of_one_image(boxes: list[list[float]], found: list[list[float]]) -> tuple[GroundTruth, Results]:
    """Objects of one class, and detections as box and score."""
    common = {"image_id": 1, "category_id": 1}
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**common, "bbox": box} for box in boxes],
    }
    results = [{**common, "bbox": row[:4], "score": row[4]} for row in found]
    return ground_truth_of(truth), results_of(results)


def test_of_equal_ious_the_later_object_is_taken() -> None:
    # Both objects overlap the first detection by 0.5; the second detection is the second object.
    truth, results = of_one_image(
        [[0, 0, 10, 10], [10, 0, 10, 10]], [[5, 0, 10, 10, 0.9], [10, 0, 10, 10, 0.8]]
    )
    options = Options(iou_thresholds=(1 / 3 - 1e-9,), area_ranges={"all": (0, 1e10)})
    scene = Scene(truth, results, truth.image_ids, options)
    assert check_equal(scene).recall[0, 0, 0, -1] == 0.5


def test_a_crowd_of_many_objects_and_detections() -> None:
    random = np.random.default_rng(5)
    rows = np.concatenate([random.integers(0, 20, (150, 2)), random.integers(5, 25, (150, 2))], 1)
    found = np.concatenate([rows[30:], random.random((120, 1)).round(1)], axis=1)
    truth, results = of_one_image(rows[:40].tolist(), found.tolist())
    truth = truth._replace(crowds=np.arange(40) % 7 == 0)
    check_equal(Scene(truth, results, truth.image_ids, Options()))


def test_more_area_ranges_than_bits_of_one_number() -> None:
    scene = random_scene(3)
    ranges = {str(low): (10.0 * low, 10.0 * low + 900) for low in range(15)}
    options = Options(area_ranges=ranges)
    assert len(options.iou_thresholds) * len(ranges) > 64
    assert check_equal(scene._replace(options=options)).precision.shape[3] == 15


def test_more_classes_and_images_than_sixteen_bits() -> None:
    """Their numbers are sorted by radix up to there."""
    image_ids = np.arange(70_000)
    kept = np.array([0, 65_535, 65_536, 69_999])
    truth = GroundTruth(
        image_ids,
        {number: str(number) for number in kept.tolist()},
        *(kept, kept, np.tile([0.0, 0, 10, 10], (4, 1)), np.full(4, 100.0)),
        *(np.zeros(4, bool), np.zeros(4, bool)),
    )
    results = Results(kept[::-1], kept[::-1], truth.boxes, np.array([0.1, 0.9, 0.5, 0.5]))
    measured = measure(truth, results, image_ids, Options())
    assert (measured.recall[:, :, 0, -1] == 1).all()


def test_boxes_beyond_floats_overlap_nothing() -> None:
    truth, results = of_one_image([[0, 0, 1e200, 1e200]], [[0, 0, 1e200, 1e200, 0.5]])
    assert measure(truth, results, truth.image_ids, Options()).recall.max() <= 0


def test_nothing_at_all() -> None:
    truth, results = of_one_image([], [])
    measured = check_equal(Scene(truth, results, truth.image_ids, Options()))
    assert (measured.precision == -1).all()
    none = truth._replace(image_ids=truth.image_ids[:0], categories={})
    assert measure(none, results, none.image_ids, Options()).precision.size == 0
