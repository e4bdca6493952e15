from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Problem
from mnv2_dense.formats.voc_list import read_keys


def keys(folder: Path, text: str, *known: str) -> list[str]:
    (folder / "list.txt").write_text(text)
    return read_keys(folder / "list.txt", known, [])


def test_a_line_that_is_a_key_stands_for_it(tmp_path: Path) -> None:
    assert keys(tmp_path, "p.jpg\nq.jpg\n", "p.jpg", "p", "q") == ["p.jpg", "q"]
    assert keys(tmp_path, "photo 1\n", "photo 1") == ["photo 1"]


def test_a_list_of_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a list of one class"):
        keys(tmp_path, "a 1\nb -1\n", "a", "b")


def test_doubles_and_names_that_lead_out(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a\na.jpg\n../b\n")
    problems: list[Problem] = []
    assert read_keys(tmp_path / "list.txt", ["a"], problems) == ["a"]
    assert [problem.kind for problem in problems] == ["listed_twice", "outside_folder"]
