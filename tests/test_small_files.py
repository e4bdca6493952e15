import os
from pathlib import Path

import pytest

from mnv2_dense.small_files import is_file, is_folder, read_start


def test_the_first_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(file)
    assert [read_start(file, count) for count in (2, 3, 4)] == [b"ab", b"abc", b"abc"]
    assert read_start(tmp_path / "link", 2) == b"ab"


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, why in (
        *((name, "not a file") for name in ("pipe", "link", ".")),
        *(("none", "No such file"), ("loop", "symbolic links"), ("a\0b", "no name")),
        *(("\ud800", "no name"), ("x" * 300, "too long")),
    ):
        with pytest.raises(OSError, match=why) as caught:
            read_start(tmp_path / name, 1)
        assert caught.value.strerror
        assert not is_file(tmp_path / name)


def test_kinds(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert [is_file(tmp_path / "a"), is_folder(tmp_path / "a")] == [True, False]
    assert [is_file(tmp_path), is_folder(tmp_path)] == [False, True]
    assert not is_folder(tmp_path / ("x" * 300))
