from pathlib import Path

import numpy as np
import pytest
import torch

from mnv2_dense.builders import detection_data, segmentation_data
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.drawing import class_palette
from mnv2_dense.reporting.pictures import (
    SIDE,
    Shown,
    draw_pictures,
    show_boxes,
    show_label_maps,
)
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.structures import Detections
from tests.commands.tiny import config_of, segmentation_config_of
from tests.reporting.scenes import SCRIPT, show


@pytest.fixture
def boxed(shapes_set: Path) -> DetectionIndex:
    return detection_data.read_split(config_of(shapes_set).data, "val")


@pytest.fixture
def masked(shapes_set: Path) -> SegmentationIndex:
    return segmentation_data.read_split(segmentation_config_of(shapes_set).data, "val")


def test_boxes_above_the_threshold_are_drawn_at_the_size_of_the_page(boxed: DetectionIndex) -> None:
    targets = boxed.targets(0)
    scores = torch.linspace(0.9, 0.1, len(targets.labels))
    found = Detections(targets.boxes, scores, targets.labels)
    shown = show_boxes(boxed, 0, found, 0.5, "F1 1.00")
    assert shown.name == boxed.file_names[0]
    assert shown.truth.shape == shown.prediction.shape == (SIDE, SIDE, 3)
    none = show_boxes(boxed, 0, found, 0.95, "F1 0.00")
    assert (none.truth == shown.truth).all()
    assert (none.prediction != shown.prediction).any()
    assert none.told[1] == "nothing"
    names = [category.name for category in boxed.categories]
    assert shown.told[1].count(",") < (scores >= 0.5).sum()
    assert names[int(targets.labels[0])] in shown.told[0]
    # A box of the whole picture is drawn along its edge, whatever its size was.
    whole = Detections(torch.tensor([[0.0, 0, 64, 64]]), torch.ones(1), torch.zeros(1).long())
    edge = show_boxes(boxed, 0, whole, 0.5, "").prediction
    assert (edge[-1] == edge[-1, 0]).all()


def test_label_maps_are_tinted_alike(masked: SegmentationIndex) -> None:
    reference = masked.label_map(0)
    shown = show_label_maps(masked, 0, lambda image: reference, "mIoU 1.000")
    assert shown.name == masked.image_id(0)
    assert shown.truth.shape == (SIDE, SIDE, 3)
    assert (shown.truth == shown.prediction).all()
    assert shown.labels == tuple(np.unique(reference).tolist())
    assert shown.told[0] == shown.told[1]
    wrong = show_label_maps(masked, 0, lambda image: np.full_like(reference, 3), "mIoU 0.000")
    assert set(wrong.labels) == {*shown.labels, 3}
    assert wrong.told[1].endswith(" 100%")
    assert (wrong.truth == shown.truth).all()


def shown_as(name: str, *labels: int) -> Shown:
    picture = np.zeros((20, 30, 3), np.uint8)
    return Shown(name, f"F1 of {name}", picture, picture, ("2 cats", SCRIPT), labels)


def test_both_sides_and_what_they_show() -> None:
    names = ["background", "cat", SCRIPT]
    section = draw_pictures([shown_as("good", 0, 2)], [shown_as(SCRIPT, 1)], names, "By their F1.")
    drawn = show(section)
    alts = [image["alt"] for image in drawn.all("img")]
    assert alts[2:] == ["Ground truth of good: 2 cats", f"Prediction of good: {SCRIPT}"]
    assert {image["width"] for image in drawn.all("img")} == {"30"}
    assert not drawn.all("script")
    assert drawn.texts.index("Worst") < drawn.texts.index(SCRIPT, 7) < drawn.texts.index("Best")
    legend = drawn.texts[drawn.texts.index("background") :][:3]
    assert legend == names
    red, green, blue = class_palette()[2]
    colors = [each["fill"] for each in drawn.all("rect", "swatch")]
    assert colors[0] == "none"
    assert colors[2] == f"#{red:02x}{green:02x}{blue:02x}"


def test_only_the_best_and_no_legend_where_boxes_tell() -> None:
    drawn = show(draw_pictures([shown_as("good")], [], ["cat"], "By their F1."))
    assert "Worst" not in drawn.texts
    assert not drawn.all("ul")
    assert len(drawn.all("img")) == 2
