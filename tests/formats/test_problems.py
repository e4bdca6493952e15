import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Level, Problem, describe, errors_at, group, refuse


def test_one_error_per_place() -> None:
    found = errors_at("lost", "a: lost:", [7, "x"], ". Look")
    assert found == [
        Problem("lost", Level.ERROR, "a: lost:", "7", ". Look"),
        Problem("lost", Level.ERROR, "a: lost:", "x", ". Look"),
    ]
    assert errors_at("lost", "a: lost:", []) == []


def test_titles_are_grouped_in_the_order_of_their_first_problems() -> None:
    problems = errors_at("b", "B", [1]) + errors_at("a", "A", [2]) + errors_at("b", "B", [3])
    groups = group(problems)
    assert list(groups) == ["B", "A"]
    assert [problem.place for problem in groups["B"]] == ["1", "3"]


def test_only_errors_are_refused() -> None:
    mild = errors_at("a", "A:", [1], level=Level.NOTE) + errors_at(
        "b", "B:", [2], "", Level.PROBLEM
    )
    refuse(mild)
    with pytest.raises(UserError) as caught:
        refuse([*mild, *errors_at("c", "C:", range(7), ". Do this")])
    assert str(caught.value) == "C: 0, 1, 2, 3, 4 and 2 more. Do this"


def test_several_kinds_stand_on_lines_of_their_own() -> None:
    with pytest.raises(UserError) as caught:
        refuse(errors_at("a", "A:", [1]) + errors_at("b", "B:", [2]))
    assert str(caught.value) == "2 kinds of mistakes in the data\n  A: 1\n  B: 2"


def test_a_problem_without_a_place() -> None:
    assert describe(errors_at("a", "all is lost", [""], "; weep")) == "all is lost; weep"


def test_places_print_on_one_line() -> None:
    assert describe(errors_at("a", "A:", ["x\n\x1b[2J"])) == r"A: x\n\x1b[2J"
    assert len(describe(errors_at("a", "A:", ["x" * 10**6]))) < 310
