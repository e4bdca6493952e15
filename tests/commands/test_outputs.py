from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.commands.outputs import SETTINGS, Outputs
from mnv2_dense.errors import UserError

FOLDERS = ("label_maps", "overlays")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


def outputs_of(out: Path) -> Outputs:
    return Outputs(out, FOLDERS, "shares.json")


def names_of(outputs: Outputs, *paths: str | Path) -> list[str]:
    """The names that pictures get."""
    claimed = outputs.claim([Path(path) for path in paths])
    return [outputs.list.pictures[position].name for position in claimed]


def write(outputs: Outputs, *paths: str | Path) -> None:
    for name in names_of(outputs, *paths):
        for file in outputs.files(name):
            picture(file)
    (outputs.job / SETTINGS).write_text("{}")
    outputs.records.write_text("[]")


def test_names_are_unique_and_no_sources(tmp_path: Path) -> None:
    pictures = ["a/x.jpg", "b/x.jpg", "c/x-2.png", tmp_path / "y.png"]
    outputs = Outputs(tmp_path, ("",), "a.json")
    assert names_of(outputs, *pictures) == ["x", "x-2", "x-2-2", "y-2"]


def test_no_file_of_the_user_is_replaced(tmp_path: Path) -> None:
    picture(tmp_path / "overlays" / "x.png")
    assert names_of(outputs_of(tmp_path), "x.jpg") == ["x-2"]
    (tmp_path / "shares.json").write_text("mine")
    with pytest.raises(UserError, match=r"shares\.json is there and no result"):
        outputs_of(tmp_path)


def test_names_are_kept(tmp_path: Path) -> None:
    write(outputs_of(tmp_path), "b/x.jpg", "y.jpg")
    again = outputs_of(tmp_path)
    assert names_of(again, "a/x.jpg", "b/x.jpg", "z.jpg") == ["x-2", "x", "z"]
    assert names_of(outputs_of(tmp_path), "z.jpg", "y.jpg") == ["z", "y"]


def test_a_picture_given_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [Path("x.jpg"), tmp_path / "x.jpg", Path("y.jpg")]
    assert outputs_of(tmp_path / "out").claim(given) == {0: given[0], 1: given[2]}


def test_who_claims_second_takes_the_first_ones_names(tmp_path: Path) -> None:
    """Both read the list before either has written to it."""
    first, second = outputs_of(tmp_path), outputs_of(tmp_path)
    assert names_of(first, "b/x.jpg", "3/x.jpg") == ["x", "x-2"]
    assert names_of(second, "a/x.jpg", "b/x.jpg") == ["x-3", "x"]
    assert names_of(first, "a/x.jpg", "c/x.jpg") == ["x-3", "x-4"]
    assert len(outputs_of(tmp_path).list.pictures) == 4


def test_results_are_no_sources(tmp_path: Path) -> None:
    own = [picture(tmp_path / "a.png"), picture(tmp_path / "out" / "overlays" / "b.png")]
    write(outputs_of(tmp_path / "out"), own[0])
    outputs = outputs_of(tmp_path / "out")
    result = tmp_path / "out" / "overlays" / "a.png"
    linked = tmp_path / "linked.png"
    linked.symlink_to(result)
    assert outputs.find_sources(tmp_path) == own
    assert outputs.find_sources(result) == [result]  # a file that is named is meant
    own[1].unlink()
    with pytest.raises(UserError, match="results of earlier predictions"):
        outputs.find_sources(tmp_path / "out")


def test_a_list_that_was_lost_protects_everything(tmp_path: Path) -> None:
    write(outputs_of(tmp_path), "x.jpg")
    (tmp_path / "shares.json").unlink()
    (tmp_path / ".mnv2_dense" / "pictures-1.jsonl").unlink()
    assert names_of(outputs_of(tmp_path), "x.jpg") == ["x-2"]


def test_sources_are_files_patterns_and_folders(tmp_path: Path) -> None:
    outputs = outputs_of(tmp_path / "out")
    pictures = [picture(tmp_path / name) for name in ("a.png", "b.png", "c.jpg")]
    assert outputs.find_sources(str(pictures[0])) == pictures[:1]
    assert outputs.find_sources(str(tmp_path / "*.png")) == pictures[:2]
    assert outputs.find_sources(tmp_path) == pictures
    odd = picture(tmp_path / "[1].png")
    assert outputs.find_sources(odd) == [odd]  # a file, and no pattern
    for source in (tmp_path / "d.png", str(tmp_path / "*.gif"), ""):
        with pytest.raises(UserError):
            outputs.find_sources(source)
