from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.formats.problems import Level
from mnv2_dense.inspection.class_gaps import gap_findings, training_gaps
from mnv2_dense.inspection.masks import count_labels
from mnv2_dense.inspection.report import Report
from mnv2_dense.inspection.segmentation import inspect_segmentation
from tests.commands.tiny import SEGMENTATION_CONFIG
from tests.inspection.data_set import NUMBERS, DataSet, clean_values, save_mask, save_picture
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


def color_masks(data: DataSet) -> None:
    """Masks of colours, and their table."""
    colors = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)] + 252 * [(0, 0, 0)] + [(9, 9, 9)])
    for number in range(1, 7):
        values = np.array(Image.open(data.mask(number)))
        Image.fromarray(colors[values].astype(np.uint8)).save(data.mask(number))
    table = "name,r,g,b\nbackground,0,0,0\ncat,128,0,0\ndog,0,128,0\nvoid,9,9,9\n"
    (data.root / "colors.csv").write_text(table)


def test_a_missing_mask_does_not_hide_the_classes(clean: DataSet) -> None:
    """Neither those of a colour table, nor what is wrong with other masks."""
    color_masks(clean)
    keys: dict[str, object] = {"classes": None, "color_table": "colors.csv"}
    assert inspect(clean, **keys).problems == []
    clean.mask(1).unlink()
    pixels = np.array(Image.open(clean.mask(2)))
    pixels[3, 4] = 1, 2, 3
    Image.fromarray(pixels).save(clean.mask(2))
    report = inspect(clean, **keys)
    found = [(each.kind, each.place.rpartition("/")[2][:5]) for each in report.problems]
    assert found == [("missing_mask", "1.png"), ("foreign_value", "2.png")]
    assert "(1, 2, 3) at 1 pixels" in report.problems[1].place
    assert report.facts["train"]["classes"] == 3
    assert report.histograms[0].labels == ["background", "cat", "dog"]


def test_without_a_table_colours_are_not_blamed_one_by_one(clean: DataSet) -> None:
    color_masks(clean)
    (clean.root / "colors.csv").unlink()
    report = inspect(clean, classes=None)
    assert [problem.kind for problem in report.problems] == ["unknown_classes"]
    assert "data.colors=[" in report.problems[0].title
    assert report.facts["train"]["classes"] == 0


def test_colours_given_twice_are_said(clean: DataSet) -> None:
    color_masks(clean)
    report = inspect(clean, classes=None, colors=[(0, 0, 0), (0, 0, 0)])
    assert [problem.kind for problem in report.problems] == ["unknown_classes"]


def plant_value(data: DataSet, number: int, value: int) -> None:
    values = clean_values()
    values[5, 5] = value
    save_mask(data.mask(number), values)


@pytest.mark.parametrize("value", [9, 77])
def test_a_foreign_value_where_classes_are_counted(clean: DataSet, value: int) -> None:
    """Up to 30 training takes it for a class, further up it refuses; the file is named in both."""
    plant_value(clean, 2, value)
    report = inspect(clean, classes=None)
    (found,) = (each for each in report.problems if each.kind == "class_gap")
    assert found.level == Level.PROBLEM
    assert found.place == f"{clean.mask(2)} ({value} at 1 pixel)"
    assert f"no training mask holds 3 to {value - 1}," in found.title
    kinds = {each.kind for each in report.problems}
    assert kinds == {"class_gap", "class_not_in_val" if value == 9 else "unknown_classes"}


def test_a_foreign_value_in_a_drawn_validation_share(clean: DataSet) -> None:
    keys: dict[str, object] = {
        "classes": None,
        "val_images": None,
        "val_masks": None,
        "val_share": 0.25,
    }
    for number in NUMBERS["train"]:
        plant_value(clean, number, 9)
        kinds = {each.kind for each in inspect(clean, **keys).problems}
        assert "class_gap" in kinds
        assert "absent_class" not in kinds
        save_mask(clean.mask(number), clean_values())


def test_values_above_a_gap_in_many_masks_are_said_once(clean: DataSet) -> None:
    for number in (1, 2, 3, 4, 5, 6):
        plant_value(clean, number, 9)
    gaps = training_gaps([count_labels(Path("a.png"), np.array([[0, 1, 9]]))])
    masks = [count_labels(clean.mask(number), np.array([[0, 1, 9]])) for number in range(1, 7)]
    (found,) = gap_findings(gaps, [clean.picture(number) for number in range(1, 7)], masks)
    assert found.problem.place == "9 in 6 of 6 (100.0%) masks"


def test_given_classes_may_have_gaps(clean: DataSet) -> None:
    plant_value(clean, 2, 9)
    kinds = {each.kind for each in inspect(clean, classes=None, num_classes=10).problems}
    assert "class_gap" not in kinds
    assert "absent_class" in kinds


def test_masks_beside_their_pictures_are_not_unused(clean: DataSet) -> None:
    keys: dict[str, object] = {}
    for split, numbers in NUMBERS.items():
        for number in numbers:
            clean.mask(number).rename(clean.root / split / f"{number}_mask.png")
        keys[f"{split}_masks"] = split
    report = inspect(clean, **keys, image_suffix=".jpg", mask_suffix="_mask.png")
    assert report.problems == []


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
