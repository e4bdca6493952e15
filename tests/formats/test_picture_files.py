import os
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats import picture_files
from mnv2_dense.formats.picture_files import read_list


def test_lines_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeff a.jpg\r\n\nb\x85\u2028.jpg\rc.jpg".encode())
    assert read_list(tmp_path / "a.txt") == ["a.jpg", "b\x85\u2028.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n\r\n", "is empty"),
        (b"\xff\xfea", "UTF-8 text"),
        (b"a\n" * 9, "more than 0 MB or 8 lines; split it"),
        (b"a" * 101, "more than 0 MB or 8 lines; split it"),
    ],
)
def test_lists_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    monkeypatch.setattr(picture_files, "MAX_LIST", 100)
    monkeypatch.setattr(picture_files, "MAX_LINES", 8)
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.txt: .*{problem}"):
        read_list(tmp_path / "a.txt")


def test_what_is_no_file_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "gone", ".", "a\0b", "\ud800", "x" * 300):
        with pytest.raises(UserError, match="cannot be read as a list of pictures"):
            read_list(tmp_path / name)
