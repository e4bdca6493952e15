import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from mnv2_dense.commands.whole_file import PART, remove_parts, save_picture, whole_file


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("old", "new"):
        with whole_file(path) as file:
            file.write(text)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == text
    with pytest.raises(UnicodeEncodeError), whole_file(path) as file:
        file.writelines(["half", "\udcff"])
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_the_first_writer_wins(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise PermissionError("this disk has no links")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.json"
    with whole_file(path, first=True) as file:
        file.write("first")
    with pytest.raises(FileExistsError), whole_file(path, first=True) as file:
        file.write("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_is_there_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{'a' * 251}.png"  # as long as a name may be
    picture = Image.new("L", (2, 2))
    save_picture(picture, path)

    def fail(_: Image.Image, part: Path, *__: Any) -> NoReturn:
        part.write_bytes(b"half")
        raise OSError("no space")

    before = path.read_bytes()
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no space"):
        save_picture(picture, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f".1{PART}"
    written = tmp_path / f".2{PART}"
    own = tmp_path / ".mine.part"
    for file in (left, written, own):
        file.write_bytes(b"half")
    for file in (left, own):
        os.utime(file, (0, 0))
    remove_parts(tmp_path)
    assert set(tmp_path.iterdir()) == {own, written}
