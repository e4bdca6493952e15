import json
import shutil
from pathlib import Path

import pytest

from mnv2_dense.commands.session import ensure_data, read_data, say
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.errors import UserError
from tests.commands.tiny import config_of, tree


def test_data_that_are_there_are_left_alone(shapes_set: Path) -> None:
    before = tree(shapes_set)
    ensure_data(config_of(shapes_set))
    assert tree(shapes_set) == before


def test_data_are_drawn_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr("mnv2_dense.commands.session.generate", drawn.append)
    ensure_data(config_of(tmp_path / "no", "data.generate=null"))
    assert drawn == []
    ensure_data(config_of(tmp_path / "no"))
    assert drawn == [tmp_path / "no"]
    assert "drawing the built-in data set" in capsys.readouterr().out


def test_other_processes_wait_for_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero.rank_zero_only.rank", 1)
    monkeypatch.setattr("mnv2_dense.commands.session.DRAWING_LIMIT", 0)
    with pytest.raises(UserError, match=r"process 0 has not drawn it within 0 s"):
        ensure_data(config_of(tmp_path / "shapes"))

    def draw(_: float) -> None:
        (tmp_path / "shapes").mkdir()

    monkeypatch.setattr("time.sleep", draw)
    monkeypatch.setattr("mnv2_dense.commands.session.DRAWING_LIMIT", 60)
    ensure_data(config_of(tmp_path / "shapes"))


def test_bad_boxes_are_said_once(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    file = tmp_path / "shapes" / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    single = [each for each in content["annotations"] if not each["iscrowd"]]
    single[0]["bbox"][2] = 0.0
    single[1]["bbox"][0] = -0.5
    file.write_text(json.dumps(content))
    index = read_data(config_of(tmp_path / "shapes"), "train")
    assert isinstance(index, DetectionIndex)
    assert index.box_report.dropped == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "clipped 1 " in line
    assert (
        f"dropped 1 under 1 pixel on a side or not finite (annotation ids {single[0]['id']})"
        in (line)
    )


def test_only_the_first_process_speaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say("one")
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero.rank_zero_only.rank", 1)
    say("two")
    assert capsys.readouterr().out == "one\n"
