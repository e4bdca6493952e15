import os
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.image_files import (
    files_below,
    find_images,
    leaves_folder,
    list_files,
    missing_files,
)


def test_find_images(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "folder.jpg").mkdir()
    names = ["z.PNG", "b/a.jpg", "b/c/d.webp"]
    for name in [*names, "notes.txt", "._hidden.jpg"]:
        (tmp_path / name).touch()
    assert find_images(tmp_path) == sorted(tmp_path / name for name in names)
    assert find_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_find_images_without_any(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures in this folder"):
        find_images(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        find_images(tmp_path / "gone")


def test_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a.jpg", "b/c.png"):
        (tmp_path / name).touch()
    assert list_files(tmp_path) == {"a.jpg"}
    assert list_files(tmp_path / "gone") == set()
    assert list_files(tmp_path / "a.jpg") == set()
    names = ["a.jpg", "b", "b/c.png", "b/gone", "x/y", "nul\0"]
    assert missing_files(tmp_path, names) == ["b", "b/gone", "x/y", "nul\0"]


@pytest.mark.parametrize(
    ("name", "leaves"),
    [
        ("a.jpg", False),
        ("a/b..c.jpg", False),
        ("...", False),
        ("/a.jpg", True),
        ("\\a.jpg", True),
        ("..", True),
        ("a/../b", True),
        ("a\\..\\b", True),
        ("C:a", True),
    ],
)
def test_names_that_leave_their_folder(name: str, leaves: bool) -> None:
    assert leaves_folder(name) == leaves


def test_files_below_a_folder(tmp_path: Path) -> None:
    """Loops, pipes and links to folders are no files."""
    deep = tmp_path
    for _ in range(99):
        deep /= "d"
        deep.mkdir()
    (deep / "a.jpg").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(deep / "a.jpg")
    assert sorted(files_below(tmp_path)) == [tmp_path / "b", deep / "a.jpg"]
    assert list(files_below(tmp_path / "gone")) == []
