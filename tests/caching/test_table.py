import json
from pathlib import Path

import pytest

from mnv2_dense.caching.manifest import TABLE
from mnv2_dense.caching.table import Entry, Stamp, Table, read_table, stamp_of
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

SETTINGS = {"version": 1, "quality": 90}


LEAVING = (
    '{"place": "a", "sources": [], "size": [1, 1], "cached": [1, 1], "files": {"../a.jpg": 1}}'
)


def entry(place: str, time: int = 1) -> Entry:
    files = {f"{place}.jpg": 3, f"masks/{place}.png": 4}
    stamps = Stamp("a.png", 10, time), Stamp("masks/a.png", 20, 2)
    return Entry(place, stamps, ImageSize(4, 6), ImageSize(2, 3), files)


def open_table(root: Path) -> Table:
    return Table(root, SETTINGS)


def test_a_table_gives_back_what_was_added(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    table.add(entry("b"))
    table.add(entry("a"))
    assert read_table(tmp_path / TABLE) == (SETTINGS, [entry("b"), entry("a")])
    assert open_table(tmp_path).done == {"a": entry("a"), "b": entry("b")}
    assert (entry("a").picture, entry("a").resized) == ("a.jpg", True)


def test_a_torn_line_is_dropped_and_the_table_goes_on(tmp_path: Path) -> None:
    open_table(tmp_path).add(entry("a"))
    with (tmp_path / TABLE).open("a") as file:
        file.write(entry("b").line()[:-7])
    table = open_table(tmp_path)
    assert list(table.done) == ["a"]
    table.add(entry("c"))
    assert [each.place for each in read_table(tmp_path / TABLE)[1]] == ["a", "c"]


def test_of_a_picture_that_was_done_again_the_last_entry_counts(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    table.add(entry("a"))
    table.add(entry("a", time=5))
    assert open_table(tmp_path).done == {"a": entry("a", time=5)}


def test_other_settings_are_refused_once_there_is_a_picture(tmp_path: Path) -> None:
    open_table(tmp_path)
    table = Table(tmp_path, {**SETTINGS, "quality": 80})
    table.add(entry("a"))
    with pytest.raises(UserError, match=r"cache of other quality \(80, not 90\)"):
        open_table(tmp_path)


def test_a_first_table_that_was_not_finished_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".{TABLE}.part").write_text("{")
    table = open_table(tmp_path)
    table.add(entry("a"))
    assert [each.place for each in read_table(table.path)[1]] == ["a"]


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="holds no cache"):
        open_table(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("line", ["{", "[]", '{"place": 3}', "7", LEAVING])
def test_a_damaged_table_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / TABLE).write_text(f"{json.dumps(SETTINGS)}\n{line}\n")
    with pytest.raises(UserError, match=rf"{TABLE}: damaged"):
        read_table(tmp_path / TABLE)


def test_files_are_whole_while_they_have_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"123")
    (tmp_path / "masks" / "a.png").write_bytes(b"1234")
    assert entry("a").is_whole(tmp_path)
    (tmp_path / "masks" / "a.png").write_bytes(b"")
    assert not entry("a").is_whole(tmp_path)


def test_a_stamp_names_its_file_below_the_data(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    file = tmp_path / "masks" / "a.png"
    file.write_bytes(b"1234")
    time = file.stat().st_mtime_ns
    assert stamp_of(file, tmp_path) == ("masks/a.png", 4, time)
    assert stamp_of(file, tmp_path / "images") == (file.as_posix(), 4, time)
    assert stamp_of(tmp_path / "none", tmp_path) == ("none", -1, -1)
