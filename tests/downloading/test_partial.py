import json
from pathlib import Path

import pytest

from mnv2_dense.downloading.partial import Partial
from mnv2_dense.downloading.version import Version

OLD, NEW = Version("u", '"1"', None), Version("u", '"2"', None)


@pytest.fixture
def partial(tmp_path: Path) -> Partial:
    partial = Partial(tmp_path / "a.part", 10)
    partial.begin(OLD)
    partial.path.write_bytes(b"12345")
    return partial


def names(partial: Partial) -> list[str]:
    return sorted(path.name for path in partial.path.parent.iterdir())


@pytest.mark.parametrize(
    ("content", "kept"), [(b"", OLD), (b"abcd", OLD), (b"abcde", NEW), (b"abcdefghijk", OLD)]
)
def test_what_saves_more_is_kept(partial: Partial, content: bytes, kept: Version) -> None:
    partial.begin(NEW)
    assert partial.version("u") is None
    partial.path.write_bytes(content)
    partial.keep_better()
    assert partial.version("u") == kept
    assert partial.path.read_bytes() == (content if kept == NEW else b"12345")
    assert names(partial) == ["a.part", "a.part.json"]


def test_bytes_that_cannot_be_continued_count_only_if_they_are_all(partial: Partial) -> None:
    partial.begin(Version("u", None, None))
    partial.path.write_bytes(b"abcdefgh")
    partial.keep_better()
    assert partial.path.read_bytes() == b"12345"
    partial.begin(Version("u", None, None))
    partial.path.write_bytes(b"abcdefghij")
    partial.keep_better()
    assert partial.path.read_bytes() == b"abcdefghij"


def test_a_second_new_start_does_not_replace_the_longest(partial: Partial) -> None:
    for _ in range(2):
        partial.begin(NEW)
        partial.path.write_bytes(b"abc")
    partial.keep_better()
    assert partial.version("u") == OLD


def test_of_another_address(partial: Partial) -> None:
    assert partial.version("v") is None


def test_notes_with_a_size_of_earlier_releases(partial: Partial) -> None:
    partial.path.with_name("a.part.json").write_text(json.dumps([*OLD, 10]))
    assert partial.version("u") == OLD


def test_forgetting_all(partial: Partial) -> None:
    partial.begin(NEW)
    partial.forget()
    assert names(partial) == []


@pytest.mark.parametrize("note", ["[1, 2, 3]", '["u", 1, null]', "{}", "[" * 10_000, "\xff"])
def test_a_damaged_note_is_none(partial: Partial, note: str) -> None:
    partial.path.write_bytes(b"123")
    partial.path.with_name("a.part.json").write_text(note, encoding="latin-1")
    assert partial.version("u") is None
    partial.keep_better()
    assert partial.held() == 3
