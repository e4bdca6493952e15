from collections import Counter
from pathlib import Path

import pytest

from mnv2_dense.config.loader import load_config, parse_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.formats.problems import Level
from mnv2_dense.formats.recognition import recognise
from mnv2_dense.inspection.detection import inspect_detection
from mnv2_dense.inspection.report import Report
from tests.commands.tiny import COCO_CONFIG, run_tool
from tests.inspection.data_set import DETECTION, DataSet
from tests.inspection.faults import BOX_FAULTS, PICTURE_FAULTS, Fault

pytestmark = pytest.mark.usefixtures("same_anchors")

FAULTS = {**PICTURE_FAULTS, **BOX_FAULTS}


def inspect(data: DataSet, **keys: object) -> Report:
    return inspect_detection(data.detection(**keys), "clean", 2)


def test_a_clean_set_gives_nothing(clean: DataSet) -> None:
    report = inspect(clean)
    assert report.problems == []
    assert report.level == Level.NOTE
    assert report.examples == []
    assert report.facts["train"]["images"] == 4
    assert report.facts["val"]["boxes"] == 4
    assert report.facts["train"]["share matched at 0.5"] == 1


def test_a_set_that_training_would_refuse(clean: DataSet) -> None:
    clean.edit(lambda content: content.update(annotations=content["annotations"][:1]))
    clean.set_box(3, 3, 0, 0)
    (found,) = (each for each in inspect(clean).problems if each.level == Level.ERROR)
    assert "no box to train on" in found.title
    kinds = {each.kind for each in inspect(clean, num_classes=7).problems}
    assert "unusable_split" in kinds


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_each_fault_is_found(clean: DataSet, fault: Fault) -> None:
    fault.plant(clean)
    found = [each for each in inspect(clean).problems if each.kind == fault.kind]
    assert len(found) == 1, found
    assert fault.place in found[0].place
    assert found[0].level == fault.level


def test_all_faults_are_found_at_once(clean: DataSet) -> None:
    """As many as one set can hold without one hiding another."""
    names = ("no picture", "EXIF, as stored", "unused picture", "inverted", "crowd", "gap")
    for name in names:
        FAULTS[name].plant(clean)
    kinds = {problem.kind for problem in inspect(clean).problems}
    assert {FAULTS[name].kind for name in names} <= kinds


def test_bad_pictures_are_no_errors_where_training_skips_them(clean: DataSet) -> None:
    PICTURE_FAULTS["truncated"].plant(clean)
    assert inspect(clean, on_bad_image="skip").level == Level.PROBLEM


def test_turned_pictures_fit_an_upright_set(clean: DataSet) -> None:
    PICTURE_FAULTS["EXIF, upright"].plant(clean)
    kinds = [problem.kind for problem in inspect(clean, orientation="upright").problems]
    assert "exif_rotation" in kinds
    assert "turned_picture" not in kinds


def test_a_drawn_validation_share_is_inspected(clean: DataSet) -> None:
    BOX_FAULTS["duplicate annotation id"].plant(clean)
    keys = {"val_images": None, "val_annotations": None, "val_share": 0.25}
    report = inspect(clean, **keys)
    assert [report.facts[split]["images"] for split in ("train", "val")] == [3, 1]
    assert [problem.kind for problem in report.problems] == ["duplicate_id"]  # not once per split


def test_bad_boxes_are_counted_by_split(clean: DataSet) -> None:
    BOX_FAULTS["inverted"].plant(clean)
    facts = inspect(clean).facts
    assert [facts[split]["dropped boxes"] for split in ("train", "val")] == [1, 0]


def test_other_formats_are_inspected_too(clean: DataSet, tmp_path: Path) -> None:
    """VOC's and YOLO's files of the clean set are clean; both splits of theirs have one source."""
    for form in ("voc", "yolo"):
        root = tmp_path / form
        run_tool("convert_data", clean.root, "--to", form, "--out", root).require_success()
        config = parse_config({**DETECTION, **recognise(root)})
        assert isinstance(config, DetectionConfig)
        report = inspect_detection(config, form, 2)
        assert report.problems == []
        assert report.facts["val"]["boxes"] == 4


def test_pictures_that_a_reader_told_of_are_not_unused(clean: DataSet, tmp_path: Path) -> None:
    """VOC's without an XML file, or with a broken one; YOLO's that cannot be read."""
    for form in ("voc", "yolo"):
        root = tmp_path / form
        run_tool("convert_data", clean.root, "--to", form, "--out", root).require_success()
        if form == "voc":
            xml = sorted((root / "Annotations").rglob("*.xml"))
            xml[0].unlink()
            xml[1].write_text("<annotation>")
        else:
            sorted(root.rglob("*.jpg"))[0].write_text("no picture")
        config = parse_config({**DETECTION, **recognise(root)})
        assert isinstance(config, DetectionConfig)
        kinds = Counter(problem.kind for problem in inspect_detection(config, form, 2).problems)
        kinds.pop("class_not_in_val", None)
        wanted = {"missing_annotation": 1, "bad_xml": 1}
        assert kinds == (wanted if form == "voc" else {"unreadable_picture": 1})


def test_the_way_to_coco_is_not_told_of_other_data(clean: DataSet) -> None:
    BOX_FAULTS["missing picture"].plant(clean)
    (found,) = inspect(clean).problems
    assert "COCO" not in found.remedy
    (clean.root / "train").rename(clean.root / "train2017")
    (found,) = inspect(clean, train_images="train2017").problems
    assert "mnv2-dense download_data coco" in found.remedy


def test_a_folder_in_a_pictures_place_is_said_once(clean: DataSet) -> None:
    BOX_FAULTS["folder in a picture's place"].plant(clean)
    (found,) = inspect(clean).problems
    assert found.kind == "missing_picture"


def test_real_pictures(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is truly in the excerpt: looked at with pycocotools and Pillow alone."""
    root = f"data.root={shared / 'data' / 'coco'}"
    config = load_config(COCO_CONFIG, [root, "backbone.weights=null"])
    assert isinstance(config, DetectionConfig)
    monkeypatch.undo()  # its own anchors
    report = inspect_detection(config, "coco", 2)
    assert report.level == Level.NOTE
    assert Counter(problem.kind for problem in report.problems) == {
        "odd_mode": 1,
        "crowd": 50,
        "empty_picture": 5,
        "category_gaps": 1,
        "unmatched_box": 2,
        "lost_box": 3,
    }
