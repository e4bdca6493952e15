import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mnv2_dense.segmentation.scoring import (
    SUMMARY_KEYS,
    SegmentationScores,
    class_keys,
    draw_confusion_matrix,
    evaluate,
    per_class_table,
    summary_table,
)

NAMES = ("background", "cat", "dog", "sofa")
# True class by row: background 10, cat 8, dog 2, no sofa; two pixels are wrongly called sofa.
MATRIX = np.array([[6, 2, 0, 2], [1, 7, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
MATRICES = arrays.arrays(np.int64, (4, 4), elements=st.integers(0, 50))


def test_scores_by_hand() -> None:
    scores = evaluate(MATRIX, NAMES)
    background, cat, dog = 6 / (10 + 7 - 6), 7 / (8 + 10 - 7), 1 / (2 + 1 - 1)
    per_class = {"background": background, "cat": cat, "dog": dog, "sofa": None}
    assert scores.per_class == per_class
    by_hand = {
        "mIoU": (background + cat + dog) / 3,
        "pixel_accuracy": 14 / 20,
        "frequency_weighted_IoU": (10 * background + 8 * cat + 2 * dog) / 20,
    }
    assert scores.summary == pytest.approx(by_hand, rel=1e-15)
    assert tuple(scores.summary) == SUMMARY_KEYS


def test_an_absent_class_is_not_averaged_in_but_costs_the_others() -> None:
    predicted_as_cat = MATRIX.copy()
    predicted_as_cat[0] = (6, 4, 0, 0)
    correct = MATRIX.copy()
    correct[0] = (8, 2, 0, 0)
    assert evaluate(correct, NAMES).per_class["sofa"] is None
    assert evaluate(predicted_as_cat, NAMES).per_class["sofa"] is None
    mean = evaluate(MATRIX, NAMES).summary["mIoU"]
    # The two pixels called sofa cost the background, as any wrong class would.
    assert evaluate(correct, NAMES).summary["mIoU"] > mean
    assert evaluate(MATRIX, NAMES).per_class["background"] == pytest.approx(6 / 11)
    # Without the absent class in the list, and its pixels called something else, mIoU falls.
    assert evaluate(predicted_as_cat, NAMES).summary["mIoU"] < mean


@given(MATRICES)
def test_scores_lie_in_their_range(matrix: np.ndarray) -> None:
    scores = evaluate(matrix, NAMES)
    values = [*scores.summary.values(), *(v for v in scores.per_class.values() if v is not None)]
    if matrix.any():
        assert all(0 <= value <= 1 for value in values)
        assert sum(v is not None for v in scores.per_class.values()) == matrix.any(axis=1).sum()
    else:
        assert scores.summary == dict.fromkeys(SUMMARY_KEYS, -1.0)
        assert set(scores.per_class.values()) == {None}


@given(MATRICES, st.permutations(range(4)))
def test_the_order_of_the_classes_does_not_matter(matrix: np.ndarray, order: list[int]) -> None:
    scores = evaluate(matrix, NAMES)
    other = evaluate(matrix[np.ix_(order, order)], [NAMES[label] for label in order])
    assert other.summary == pytest.approx(scores.summary, rel=1e-12)
    assert other.per_class == scores.per_class


def test_perfect_and_utterly_wrong() -> None:
    perfect = evaluate(np.diag([5, 0, 1, 9]), NAMES)
    assert set(perfect.summary.values()) == {1.0}
    assert list(perfect.per_class.values()) == [1, None, 1, 1]
    wrong = evaluate(np.array([[0, 3], [4, 0]]), NAMES[:2])
    assert set(wrong.summary.values()) == {0.0}
    assert list(wrong.per_class.values()) == [0, 0]


def test_counts_beyond_what_floats_hold() -> None:
    # One wrong pixel in 2**40 shows in float64, and int64 sums do not overflow.
    scores = evaluate(np.array([[2**40 - 1, 1], [0, 2**40]]), NAMES[:2])
    assert scores.per_class["background"] == (2**40 - 1) / 2**40
    assert scores.summary["pixel_accuracy"] == (2**41 - 1) / 2**41
    assert evaluate(np.array([[2**60]]), NAMES[:1]).summary["frequency_weighted_IoU"] == 1


def test_json_keys_and_values() -> None:
    scores = evaluate(MATRIX, NAMES)
    content = json.loads(json.dumps(scores.as_dict()))
    assert set(content) == {*SUMMARY_KEYS, "per_class", "classes", "confusion_matrix"}
    assert content["per_class"]["sofa"] is None
    assert content["classes"] == list(NAMES)
    assert content["confusion_matrix"] == MATRIX.tolist()


def test_the_matrix_must_fit_the_names_and_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"\(4, 4\) for 3 classes"):
        evaluate(MATRIX, NAMES[:3])
    before = MATRIX.copy()
    evaluate(MATRIX, NAMES)
    assert (before == MATRIX).all()


def test_shared_names_get_their_labels() -> None:
    assert class_keys(["a", "b", "a"]) == ["a (0)", "b", "a (2)"]
    assert class_keys(["a", "a", "a (1)"]) == ["a (0)", "a (1) (1)", "a (1)"]
    assert list(evaluate(np.eye(2, dtype=np.int64), ["a", "a"]).per_class) == ["a (0)", "a (1)"]


def test_tables() -> None:
    scores = evaluate(MATRIX, NAMES)
    assert summary_table(scores) == (
        " mIoU                   = 0.561 over 3 of 4 classes\n"
        " pixel_accuracy         = 0.700\n"
        " frequency_weighted_IoU = 0.577"
    )
    assert per_class_table(scores) == (
        "class         IoU\n"
        "cat         0.636\n"
        "background  0.545\n"
        "dog         0.500\n"
        "sofa            -"
    )


def blue_share(picture: np.ndarray) -> float:
    """Share of pixels in the dark end of the colour map."""
    red, _, blue = (picture[..., channel].astype(int) for channel in range(3))
    return float(((blue - red > 60) & (red < 60)).mean())


def test_the_picture_shows_where_the_pixels_went() -> None:
    right, wrong = np.eye(3, dtype=np.int64), np.full((3, 3), 1)
    pictures = [draw_confusion_matrix(evaluate(matrix, NAMES[:3])) for matrix in (right, wrong)]
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.shape == pictures[0].shape
        assert picture.shape[2] == 3
    # Three of nine cells are full, against none.
    assert blue_share(pictures[0]) > blue_share(pictures[1]) + 0.05
    # Rows are shares: ten times the pixels of a class change nothing but the title's figure.
    scaled = draw_confusion_matrix(evaluate(right * 10, NAMES[:3]))
    assert (scaled == pictures[0]).all()


@pytest.mark.parametrize("classes", [1, 12, 21, 80])
def test_a_picture_for_any_number_of_classes(classes: int) -> None:
    # No formula of matplotlib's, a letter that its font lacks, and a name far too long.
    odd = ["Hund $\\frac$", "猫", "lang" * 50]
    names = [*odd, *map(str, range(77))][:classes]
    matrix = np.eye(classes, dtype=np.int64)
    matrix[-1] = 0
    picture = draw_confusion_matrix(evaluate(matrix, names))
    # A line of text is about 11 pixels high: every class has that much.
    assert min(picture.shape[:2]) > 11 * classes
    assert max(picture.shape) < 3000


def test_nothing_measured_is_drawn_too() -> None:
    scores = evaluate(np.zeros((3, 3), np.int64), NAMES[:3])
    before = copy.deepcopy(scores.as_dict())
    assert blue_share(draw_confusion_matrix(scores)) < 0.05
    assert scores.as_dict() == before
    assert isinstance(scores, SegmentationScores)
