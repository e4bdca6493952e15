from pathlib import Path

import pytest

from mnv2_dense.downloading.place import is_complete, place, write_record
from mnv2_dense.errors import UserError
from tests.downloading.archives import write

FILES = {"a/1": b"one", "a/b/2": b"two", "3": b"three"}
MD5 = "0" * 32


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    write(FILES, tmp_path / "staging")
    return tmp_path / "staging"


def test_files_move(staging: Path, tmp_path: Path) -> None:
    names = place(staging, tmp_path / "new")
    assert [name.as_posix() for name in names] == ["3", "a/1", "a/b/2"]
    for name, content in FILES.items():
        assert (tmp_path / "new" / name).read_bytes() == content
        assert not (staging / name).exists()


def test_equal_files_stay_and_others_of_the_user_too(staging: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write({"a/1": b"one", "a/mine": b"m"}, target)
    before = (target / "a/1").stat()
    place(staging, target)
    assert (target / "a/1").stat() == before
    assert (target / "a/mine").read_bytes() == b"m"
    assert (target / "a/b/2").read_bytes() == b"two"


@pytest.mark.parametrize("mine", [b"my", b"owt", b""])
def test_a_different_file_is_named_and_nothing_moves(
    staging: Path, tmp_path: Path, mine: bytes
) -> None:
    target = tmp_path / "target"
    write({"a/b/2": mine}, target)
    with pytest.raises(UserError, match=r"nothing was changed: a/b/2; move them away"):
        place(staging, target)
    assert [path for path in target.rglob("*") if path.is_file()] == [target / "a/b/2"]
    assert (target / "a/b/2").read_bytes() == mine


def test_a_dangling_link_is_not_written_through(staging: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "3").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="differ"):
        place(staging, target)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_in_a_folders_place(staging: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write({"a": b"mine"}, target)
    with pytest.raises(UserError, match="must be a folder"):
        place(staging, target)
    assert (target / "a").read_bytes() == b"mine"
    assert not (target / "3").exists()


def test_the_record_knows_what_is_missing(staging: Path, tmp_path: Path) -> None:
    target, record = tmp_path / "target", tmp_path / "record.txt"
    assert not is_complete(record, MD5, target)
    write_record(record, MD5, place(staging, target), target)
    assert is_complete(record, MD5, target)
    assert not is_complete(record, "1" * 32, target)
    (target / "a/1").write_bytes(b"cut")
    assert is_complete(record, MD5, target)
    (target / "a/1").write_bytes(b"shorter or longer")
    assert not is_complete(record, MD5, target)
    (target / "a/1").unlink()
    assert not is_complete(record, MD5, target)


@pytest.mark.parametrize("text", ["", f"{MD5}\nx a/1\n", f"{MD5}\n3\n"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    record = tmp_path / "record.txt"
    record.write_text(text)
    assert not is_complete(record, MD5, tmp_path)
