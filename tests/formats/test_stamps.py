from pathlib import Path

from mnv2_dense.formats.stamps import stamp_of


def test_a_change_shows(tmp_path: Path) -> None:
    file = tmp_path / "a"
    assert stamp_of(file) == stamp_of(Path("a\0")) == ()
    file.write_text("1")
    before = stamp_of(file)
    assert stamp_of(file) == before
    file.write_text("12")
    assert stamp_of(file) != before


def test_a_folder_shows_new_files(tmp_path: Path) -> None:
    before = stamp_of(tmp_path)
    (tmp_path / "a").mkdir()
    assert stamp_of(tmp_path) != before
