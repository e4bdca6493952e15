import json
import os
from pathlib import Path

import pytest

from tests.commands.tiny import CONFIG, Outcome, read_json, run_tool, tree
from tests.inspection.data_set import (
    DETECTION,
    SEGMENTATION,
    DataSet,
    detection_data,
    segmentation_data,
)
from tests.inspection.faults import MASK_FAULTS, PICTURE_FAULTS


@pytest.fixture
def clean(tmp_path: Path) -> DataSet:
    return DataSet(tmp_path / "data")


def check(data: DataSet, *arguments: object, task: str = "detection") -> Outcome:
    """Checks a set by a config beside it; JSON is YAML too."""
    boxes = task == "detection"
    section = detection_data(data.root) if boxes else segmentation_data(data.root)
    config = data.root.parent / f"{task}.yaml"
    config.write_text(json.dumps({**(DETECTION if boxes else SEGMENTATION), "data": section}))
    return run_tool("check_data", config, "--out", data.root.parent / "out", *arguments)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_clean_set(clean: DataSet, task: str) -> None:
    outcome = check(clean, task=task).require_success()
    assert "clean (0 errors, 0 problems, 0 notes)" in outcome.out
    assert "s per 1,000 images" in outcome.out
    out = clean.root.parent / "out"
    report = read_json(out / "report.json")
    assert (report["task"], report["exit_code"], report["problems"]) == (task, 0, [])
    assert report["facts"]["train"]["images"] == 4
    assert (out / "index.html").read_text().startswith("<!")


@pytest.mark.parametrize(("fault", "code"), [("gray", 0), ("leak", 1), ("truncated", 2)])
def test_exit_codes_and_places(clean: DataSet, fault: str, code: int) -> None:
    planted = PICTURE_FAULTS[fault]
    planted.plant(clean)
    outcome = check(clean, "--no-page", "--jobs", 1)
    assert outcome.code == code
    assert planted.place in outcome.out
    out = clean.root.parent / "out"
    report = read_json(out / "report.json")
    assert report["exit_code"] == code
    assert planted.kind in [problem["kind"] for problem in report["problems"]]
    assert not (out / "index.html").exists()


def test_the_data_are_never_written_to(clean: DataSet) -> None:
    PICTURE_FAULTS["truncated"].plant(clean)
    MASK_FAULTS["unused mask"].plant(clean)
    before = tree(clean.root)
    folders = [clean.root, *(path for path in clean.root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        codes = [check(clean, task=task).code for task in ("detection", "segmentation")]
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert codes == [2, 2]
    assert tree(clean.root) == before


def test_an_unreadable_split_leaves_the_rest_of_the_report(clean: DataSet) -> None:
    (clean.root / "val.json").write_text('{"images": [')
    assert check(clean).code == 2
    report = read_json(clean.root.parent / "out" / "report.json")
    (problem,) = report["problems"]
    assert (problem["kind"], problem["level"]) == ("unreadable_split", "error")
    assert "val.json: not complete JSON" in problem["title"]
    assert list(report["facts"]) == ["train"]


def test_nothing_readable_is_unusable(clean: DataSet) -> None:
    for split in ("train", "val"):
        (clean.root / f"{split}.json").write_text("[]")
    outcome = check(clean)
    assert outcome.code == 2
    assert "unusable" in outcome.out
    assert read_json(clean.root.parent / "out" / "report.json")["facts"] == {}


def test_out_inside_the_data_is_refused(clean: DataSet) -> None:
    before = tree(clean.root)
    for inside in (clean.root, clean.root / "check", clean.root / "train" / ".." / "x"):
        outcome = check(clean, "--out", inside)
        assert outcome.code == 2
        assert "lies in the data" in outcome.err
    assert tree(clean.root) == before


def test_a_link_into_the_data_is_refused(clean: DataSet) -> None:
    link = clean.root.parent / "link"
    link.symlink_to(clean.root)
    assert "lies in the data" in check(clean, "--out", link / "check").err


@pytest.mark.parametrize("key", ["train_images", "val_masks"])
def test_out_inside_a_folder_that_lies_elsewhere(clean: DataSet, tmp_path: Path, key: str) -> None:
    for folder in ("train", "val", "masks"):
        (clean.root / folder).rename(tmp_path / folder)
    section = segmentation_data(clean.root)
    folders = {name: tmp_path / section[name] for name in section if name.endswith("s") and
               name not in ("classes",)}  # fmt: skip
    before = tree(tmp_path)
    changes = [f"data.{name}={folder}" for name, folder in folders.items()]
    inside = folders[key] / "check"
    outcome = check(clean, *changes, "--out", inside, task="segmentation")
    assert outcome.code == 2
    assert "lies in the data" in outcome.err
    assert not inside.exists()
    assert before.items() <= tree(tmp_path).items()
    check(clean, *changes, task="segmentation").require_success()


@pytest.mark.parametrize("inside", ["images/train", "images/train/new", "labels/train"])
def test_out_inside_the_folders_of_a_data_yaml(clean: DataSet, tmp_path: Path, inside: str) -> None:
    """Where `path:` leads elsewhere."""
    convert = run_tool("convert_data", clean.root, "--to", "yolo", "--out", tmp_path / "yolo")
    convert.require_success()
    (tmp_path / "own").mkdir()
    text = (tmp_path / "yolo" / "data.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("path:")]
    lines.append(f"path: {tmp_path / 'yolo'}")
    (tmp_path / "own" / "data.yaml").write_text("\n".join(lines))
    before = tree(tmp_path)
    arguments = (tmp_path / "own", "task=detection", "--no-page")
    outcome = run_tool("check_data", *arguments, "--out", tmp_path / "yolo" / inside)
    assert outcome.code == 2
    assert "lies in the data" in outcome.err
    assert tree(tmp_path) == before
    run_tool("check_data", *arguments, "--out", tmp_path / "out").require_success()


def test_the_built_in_data_are_not_drawn(tmp_path: Path) -> None:
    outcome = run_tool("check_data", CONFIG, f"data.root={tmp_path / 'new'}", "--out", tmp_path)
    assert outcome.code == 2
    assert f"mnv2-dense make_shapes {tmp_path / 'new'}" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_recognised_and_its_section_trains(
    clean: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run_tool("check_data", clean.root, "--no-page").require_success()
    lines = outcome.out.splitlines()
    start = lines.index("data:")
    section = lines[start + 1 : lines.index("", start)]
    assert 1 <= len(section) <= 5
    assert f"  root: {clean.root}" in section
    report = read_json(tmp_path / "data_check" / "data" / "report.json")
    assert report["facts"]["train"]["boxes"] == 8
    config = tmp_path / "again.yaml"
    config.write_text("\n".join(["task: detection", "data:", *section]))
    again = run_tool("check_data", config, "--no-page", "--out", tmp_path / "again")
    again.require_success()
    assert read_json(tmp_path / "again" / "report.json")["facts"] == report["facts"]


def test_overrides_hold(clean: DataSet) -> None:
    PICTURE_FAULTS["truncated"].plant(clean)
    assert check(clean, "data.on_bad_image=skip").code == 1


@pytest.mark.skipif(os.name != "posix", reason="names of bytes are of POSIX systems")
def test_a_name_that_is_no_text_is_reported(clean: DataSet) -> None:
    path = clean.root / "train" / os.fsdecode(b"\xff.jpg")
    path.write_bytes(clean.picture(1).read_bytes())
    outcome = check(clean)
    assert outcome.code == 1
    assert "unused_picture" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "0"], "--jobs is a number of at least 1"),
        (["data.nothing=1"], "data.nothing"),
    ],
)
def test_mistakes(clean: DataSet, arguments: list[str], message: str) -> None:
    outcome = check(clean, *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_folder_without_data_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = run_tool("check_data", tmp_path / "empty")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
