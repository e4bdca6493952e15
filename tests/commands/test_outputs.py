from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.commands.outputs import MANIFEST, Outputs
from mnv2_dense.errors import UserError

FOLDERS = ("label_maps", "overlays")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


def outputs_of(out: Path) -> Outputs:
    return Outputs(out, FOLDERS, "shares.json")


def write(outputs: Outputs, *names: str) -> None:
    outputs.claim(names)
    outputs.records.write_text("[]")
    for name in names:
        for file in outputs.files(name):
            picture(file)


def test_names_are_unique_and_no_sources(tmp_path: Path) -> None:
    pictures = [Path("a/x.jpg"), Path("b/x.jpg"), Path("c/x-2.png"), tmp_path / "y.png"]
    names = Outputs(tmp_path, ("",), "a.json").name_pictures(pictures)
    assert names == ["x", "x-2", "x-2-2", "y-2"]


def test_no_file_of_the_user_is_replaced(tmp_path: Path) -> None:
    picture(tmp_path / "overlays" / "x.png")
    assert outputs_of(tmp_path).name_pictures([Path("x.jpg")]) == ["x-2"]
    (tmp_path / "shares.json").write_text("mine")
    with pytest.raises(UserError, match=r"shares\.json is there and no result"):
        outputs_of(tmp_path)


def test_results_are_written_again(tmp_path: Path) -> None:
    write(outputs_of(tmp_path), "x", "y")
    again = outputs_of(tmp_path)
    assert again.name_pictures([Path("x.jpg"), Path("z.jpg")]) == ["x", "z"]
    write(again, "z")
    assert outputs_of(tmp_path).name_pictures([Path("y.jpg"), Path("z.jpg")]) == ["y", "z"]


def test_results_are_no_sources(tmp_path: Path) -> None:
    own = [picture(tmp_path / "a.png"), picture(tmp_path / "out" / "overlays" / "b.png")]
    write(outputs_of(tmp_path / "out"), "a")
    outputs = outputs_of(tmp_path / "out")
    assert outputs.find_sources(tmp_path) == own
    result = tmp_path / "out" / "overlays" / "a.png"
    assert outputs.find_sources(result) == [result]  # a file that is named is meant
    own[1].unlink()
    with pytest.raises(UserError, match="results of earlier predictions"):
        outputs.find_sources(tmp_path / "out")


@pytest.mark.parametrize("content", ["", "{", "7", "[7]"])
def test_a_damaged_manifest_protects_everything(tmp_path: Path, content: str) -> None:
    write(outputs_of(tmp_path), "x")
    (tmp_path / "shares.json").unlink()
    (tmp_path / MANIFEST).write_text(content)
    assert outputs_of(tmp_path).name_pictures([Path("x.jpg")]) == ["x-2"]
