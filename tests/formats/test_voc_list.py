import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Problem
from mnv2_dense.formats.voc_list import read_keys
from mnv2_dense.image_files import leaves_folder
from mnv2_dense.quoting import quote

LINES = st.sampled_from(
    ["a", "a.jpg", "./sub/c", "..", "/", "\0", "\x1b", "b 1", "C:", "\ufeff", " "]
)


def keys(folder: Path, text: str, *known: str) -> list[str]:
    (folder / "list.txt").write_text(text)
    return read_keys(folder / "list.txt", known, [])


def test_a_line_that_is_a_key_stands_for_it(tmp_path: Path) -> None:
    assert keys(tmp_path, "p.jpg\nq.jpg\n", "p.jpg", "p", "q") == ["p.jpg", "q"]
    assert keys(tmp_path, "photo 1\n", "photo 1") == ["photo 1"]


def test_a_list_of_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a list of one class"):
        keys(tmp_path, "a 1\nb -1\n", "a", "b")


@pytest.mark.parametrize(
    "line", ["/etc/passwd", "../a", "a/../../b", "C:\\a", "C:a", "..\\..\\a", "\\\\host\\a", "a\0b"]
)
def test_names_that_leave_the_folder_are_named_and_left_out(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"a\n{line}\x1b[2J\n")
    problems: list[Problem] = []
    assert read_keys(tmp_path / "list.txt", ["a"], problems) == ["a"]
    assert [problem.kind for problem in problems] == ["outside_folder"]
    assert problems[0].place == quote(f"{line}\x1b[2J")
    assert problems[0].title.startswith(str(tmp_path / "list.txt"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.lists(LINES).map(lambda lines: "\n".join(lines).encode()))
def test_any_list_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    problems: list[Problem] = []
    with contextlib.suppress(UserError):
        found = read_keys(tmp_path / "list.txt", ["a", "sub/c"], problems)
        assert len(set(found)) == len(found)
        assert not any(map(leaves_folder, found))
    assert all(problem.place.isprintable() for problem in problems)


def test_doubles_and_names_that_lead_out(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a\na.jpg\n../b\n")
    problems: list[Problem] = []
    assert read_keys(tmp_path / "list.txt", ["a"], problems) == ["a"]
    assert [problem.kind for problem in problems] == ["listed_twice", "outside_folder"]
