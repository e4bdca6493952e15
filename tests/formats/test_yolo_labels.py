import os
from pathlib import Path

import pytest

from mnv2_dense.formats.yolo_labels import MAX_COLUMNS, MAX_LINES, read_labels

LINE = "0 0.5 0.5 0.25 0.25"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


def test_what_is_no_file(tmp_path: Path, file: Path) -> None:
    os.mkfifo(file)
    for path in (file, tmp_path, tmp_path / "none"):
        labels, (finding,) = read_labels(path, 2)
        assert (labels, finding.kind, finding.line) == ([], "unreadable_labels", 0)


def test_a_file_of_too_many_lines(file: Path) -> None:
    file.write_text(f"{LINE}\n" + "x\n" * MAX_LINES)
    labels, (finding,) = read_labels(file, 2)
    assert (labels, finding.kind) == ([], "unreadable_labels")
    assert finding.detail == "more than 100,000 lines"


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("0 1\x1b[2J 1 1 1", r"0 1\x1b[2J 1 1 1"),
        ("0 " + "x" * 10**6 + " 1 1 1", "0 " + "x" * 55 + "..."),
        ("9" * 10**6 + " 0 0 0 0", "9" * 17 + "..."),
        ("0 " * MAX_COLUMNS + "0 0", ""),
    ],
)
def test_long_and_odd_lines_are_named_shortly(file: Path, line: str, detail: str) -> None:
    file.write_text(f"{LINE}\n{line}\n")
    labels, (finding,) = read_labels(file, 2)
    assert [label.line for label in labels] == [1]
    assert (finding.line, finding.detail) == (2, detail)
    assert len(finding.title) < 200
