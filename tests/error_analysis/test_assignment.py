import numpy as np

from mnv2_dense.error_analysis.assignment import assign


def take(pairs: list[tuple[int, int]], images: list[int], crowds: list[int]) -> list[int]:
    detections, objects = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    marks = np.array(crowds, dtype=np.bool_)
    return assign(detections, objects, np.array(images, dtype=np.int64), marks).tolist()


def test_each_takes_what_is_left() -> None:
    # Detections 0 to 2 are of one image, 3 of the next; object 0 is everybody's first wish there.
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 2)]
    assert take(pairs, [0, 0, 0, 4], [0, 0, 0]) == [0, 1, -1, 2]


def test_an_earlier_detection_chooses_first_whatever_its_wish() -> None:
    # The second takes object 1 though it is only its second wish; the third wanted it first.
    pairs = [(0, 0), (1, 0), (1, 1), (2, 1)]
    assert take(pairs, [0, 0, 0], [0, 0]) == [0, 1, -1]


def test_a_crowd_is_always_free() -> None:
    assert take([(0, 0), (1, 0), (2, 0)], [0, 0, 0], [1]) == [0, 0, 0]


def test_nothing_to_take() -> None:
    assert take([], [], []) == []
    assert take([], [0, 1], [0]) == [-1, -1]
