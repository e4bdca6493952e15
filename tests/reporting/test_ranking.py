from mnv2_dense.reporting.ranking import Ranked, Standing, rank


def test_best_and_worst_by_score_then_by_what_was_seen_and_mistaken() -> None:
    standings = {
        1: Standing(0.5, 1, 2),
        2: Standing(1.0, 2, 0),
        3: Standing(1.0, 5, 0),
        4: Standing(0.0, 0, 1),
        5: Standing(0.0, 0, 7),
        6: Standing(0.2, 1, 8),
    }
    assert rank(standings, 2) == Ranked([3, 2], [5, 4])
    assert rank(standings, 0) == Ranked([], [])


def test_of_equal_pictures_that_with_fewer_mistakes_is_the_better() -> None:
    standings = {key: Standing(0.5, key, 2 * key) for key in range(1, 13)}
    assert rank(standings, 6) == Ranked([1, 2, 3, 4, 5, 6], [12, 11, 10, 9, 8, 7])


def test_where_nothing_was_seen_is_no_best_one_while_there_are_others() -> None:
    standings = {key: Standing(1.0, 0) for key in range(9)} | {9: Standing(0.5, 1)}
    assert rank(standings, 2) == Ranked([9], [0, 1])
    standings = {key: Standing(0.0, 0, key) for key in range(1, 5)}
    assert rank(standings, 2) == Ranked([1, 2], [4, 3])


def test_no_picture_is_both() -> None:
    standings = {key: Standing(key / 10) for key in range(3)}
    assert rank(standings, 5) == Ranked([2, 1], [0])
    assert rank({7: Standing(0.5)}, 5) == Ranked([7], [])
    assert rank({}, 5) == Ranked([], [])
