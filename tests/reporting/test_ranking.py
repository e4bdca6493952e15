from mnv2_dense.reporting.ranking import Ranked, rank


def test_best_and_worst_by_score_then_by_weight() -> None:
    scores = {
        1: (0.5, 3.0),
        2: (1.0, 2.0),
        3: (1.0, 5.0),
        4: (0.0, 1.0),
        5: (0.0, 7.0),
        6: (0.2, 0.0),
    }
    assert rank(scores, 2) == Ranked([3, 2], [5, 4])
    assert rank(scores, 0) == Ranked([], [])


def test_no_picture_is_both() -> None:
    scores = {key: (key / 10, 0.0) for key in range(3)}
    assert rank(scores, 5) == Ranked([2, 1], [0])
    assert rank({7: (0.5, 0.0)}, 5) == Ranked([7], [])
    assert rank({}, 5) == Ranked([], [])
