from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.formats.problems import Level
from mnv2_dense.inspection.report import Report
from mnv2_dense.inspection.segmentation import inspect_segmentation
from tests.commands.tiny import SEGMENTATION_CONFIG
from tests.inspection.data_set import DataSet, save_picture
from tests.inspection.faults import MASK_FAULTS, PICTURE_FAULTS, Fault

FAULTS = {**PICTURE_FAULTS, **MASK_FAULTS}


def inspect(data: DataSet, **keys: object) -> Report:
    return inspect_segmentation(data.segmentation(**keys), "clean", 2)


def test_a_clean_set_gives_nothing(clean: DataSet) -> None:
    report = inspect(clean)
    assert report.problems == []
    assert report.examples == []
    assert report.facts["train"]["usable masks"] == 4
    pixels = report.histograms[0]
    assert pixels.labels == ["background", "cat", "dog"]
    assert pixels.counts["val"][1] == 2 * 20 * 64


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_each_fault_is_found(clean: DataSet, fault: Fault) -> None:
    fault.plant(clean)
    found = [each for each in inspect(clean).problems if each.kind == fault.kind]
    assert len(found) == 1, found
    assert fault.place in found[0].place
    assert found[0].level == fault.level


def test_faults_of_all_kinds_are_found_at_once(clean: DataSet) -> None:
    names = ("no picture", "foreign value", "unused mask", "EXIF, as stored")
    for name in names:
        FAULTS[name].plant(clean)
    clean.mask(1).unlink()
    clean.mask(5).unlink()
    problems = inspect(clean).problems
    kinds = {problem.kind for problem in problems}
    assert {FAULTS[name].kind for name in names} | {"missing_mask"} <= kinds
    missing = [problem.place for problem in problems if problem.kind == "missing_mask"]
    assert missing == ["1.png", "5.png"]


def test_pictures_left_out_by_a_list_are_only_noted(clean: DataSet) -> None:
    for split, keys in (("train", "1\n2\n4\n"), ("val", "5\n6\n")):
        (clean.root / f"{split}.txt").write_text(keys)
    report = inspect(clean, train_list="train.txt", val_list="val.txt")
    found = {problem.kind: (problem.level, problem.place) for problem in report.problems}
    assert found == {
        "unused_picture": (Level.NOTE, "3.jpg"),
        "unused_mask": (Level.NOTE, "3.png"),
    }


def test_pictures_without_masks_count_as_seen(clean: DataSet) -> None:
    save_picture(clean.root / "train" / "extra.jpg", 9)
    assert [problem.kind for problem in inspect(clean).problems] == ["missing_mask"]


def test_classes_that_the_data_do_not_tell_are_an_error(clean: DataSet) -> None:
    MASK_FAULTS["colours"].plant(clean)
    kinds = [problem.kind for problem in inspect(clean, classes=None).problems]
    assert kinds[0] == "unknown_classes"
    assert "color_mask" in kinds


def test_outlines_are_drawn_and_counted(clean: DataSet) -> None:
    outline = [[8, 8, 40, 8, 40, 40, 8, 40]]
    for split in ("train", "val"):
        clean.edit(
            lambda content: [
                entry.update(
                    segmentation=outline if entry["category_id"] == 1 else [[0, 40, 9, 40, 9, 47]]
                )
                for entry in content["annotations"]
            ],
            split,
        )
    keys = ("train_images", "val_images")
    data = {key: key.removesuffix("_images") for key in keys}
    masks: dict[str, object] = {"train_masks": None, "val_masks": None}
    files = {"train_annotations": "train.json", "val_annotations": "val.json"}
    report = inspect(clean, format="coco", **data, **masks, **files)
    assert report.problems == []
    assert report.facts["train"]["usable masks"] == 4
    assert report.histograms[0].counts["train"][1] == pytest.approx(4 * 32 * 32, rel=0.1)


def test_real_pictures(shared: Path) -> None:
    """The excerpt has no motorbike among its 40 validation masks, and nothing else to say."""
    config = load_config(SEGMENTATION_CONFIG, [f"data.root={shared / 'data/voc/VOC2012'}"])
    assert isinstance(config, SegmentationConfig)
    report = inspect_segmentation(config, "voc", 2)
    assert [(each.kind, each.place) for each in report.problems] == [
        ("class_not_in_val", "motorbike")
    ]
    assert np.sum(report.histograms[0].counts["val"]) > 0
