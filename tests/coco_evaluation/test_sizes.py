import numpy as np

from mnv2_dense.coco_evaluation.grouping import group_found, group_objects
from mnv2_dense.coco_evaluation.records import GroundTruth, Results
from mnv2_dense.coco_evaluation.sizes import in_range, match_sizes

# Two objects of one class in one image, of 100 and 400 square pixels.
BOXES = np.array([[0.0, 0, 10, 10], [50, 0, 20, 20]])
TRUTH = GroundTruth(
    np.array([1]),
    {1: "cat"},
    *(np.array([1, 1]), np.array([1, 1]), BOXES, np.array([100.0, 400])),
    *(np.zeros(2, dtype=np.bool_), np.zeros(2, dtype=np.bool_)),
)
# The second object exactly, the first one by half, and nothing.
RESULTS = Results(
    *(np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64)),
    np.array([[50.0, 0, 20, 20], [0, 0, 10, 5], [90, 90, 5, 5]]),
    np.array([0.9, 0.8, 0.7]),
)


def test_both_ends_belong_to_a_size() -> None:
    areas = np.array([9.0, 10, 20, 21, np.nan])
    assert in_range(areas, (10, 20)).tolist() == [False, True, True, False, True]


def test_each_size_has_its_hits_and_what_it_ignores() -> None:
    objects = group_objects(TRUTH, TRUTH.image_ids, class_blind=False)
    found = group_found(RESULTS, TRUTH, TRUTH.image_ids, 100, class_blind=False)
    ranges = [(0.0, 1e10), (0.0, 399.0), (500.0, 600.0)]
    everything, small, none = match_sizes(objects, found, (0.5, 0.75, 1.0), ranges)
    assert everything.places.tolist() == [0, 1]
    assert everything.hits.tolist() == [[True, True], [True, False], [True, False]]
    assert not everything.ignored.any()
    assert small.hits.tolist() == [[False, True], [False, False], [False, False]]
    assert small.ignored.tolist() == [[True, False]] * 3
    assert not none.hits.any()
    assert none.ignored.tolist() == everything.hits.tolist()


def test_sizes_beyond_one_number_of_bits_are_matched_alike() -> None:
    objects = group_objects(TRUTH, TRUTH.image_ids, class_blind=False)
    found = group_found(RESULTS, TRUTH, TRUTH.image_ids, 100, class_blind=False)
    ranges = [(0.0, 1e10), (0.0, 399.0)] * 3
    thresholds = tuple(np.linspace(0.3, 1.0, 30).tolist())  # two sizes to a number
    matches = list(match_sizes(objects, found, thresholds, ranges))
    for later in (2, 4):
        for place in (0, 1):
            pairs = zip(matches[place], matches[later + place], strict=True)
            assert all(np.array_equal(one, other) for one, other in pairs)
