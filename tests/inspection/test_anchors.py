import pytest
import torch
from torch import Tensor

from mnv2_dense.builders.detection_data import read_boxes, read_split
from mnv2_dense.detection.targets import build_index
from mnv2_dense.inspection.anchors import (
    box_histograms,
    config_anchors,
    match_boxes,
    unmatched_findings,
)
from mnv2_dense.structures import ImageSize
from tests.inspection.data_set import DataSet
from tests.inspection.faults import BOX_FAULTS


def test_anchors_are_those_of_the_network(clean: DataSet, tiny_anchors: Tensor) -> None:
    """Levels of 4, 2, 1, 1, 1 and 1 cells a side, with 3 anchors on the first and 6 on others."""
    assert tiny_anchors.shape == (3 * 16 + 6 * (4 + 4 * 1), 4)
    assert torch.equal(config_anchors(clean.detection()), tiny_anchors)


@pytest.mark.parametrize("fault", ["unmatched box", "lost box"])
def test_boxes_are_found_with_their_picture(
    clean: DataSet, tiny_anchors: Tensor, fault: str
) -> None:
    BOX_FAULTS[fault].plant(clean)
    index = read_split(clean.detection().data, "train")
    found = match_boxes(index, tiny_anchors, ImageSize(64, 64))
    assert len(found.positions) == len(found.sides) == len(found.best_ious)
    findings = unmatched_findings("train", index, found)
    shown = [each for each in findings if each.problem.kind == BOX_FAULTS[fault].kind]
    assert [each.pictures for each in shown] == [(clean.picture(1),)]
    box = (1, 1, 61, 3) if fault == "unmatched box" else (3, 3, 8, 33)
    assert shown[0].boxes == (box,)
    caption = shown[0].caption or shown[0].problem.place
    assert caption.startswith(f"1.jpg (corners {', '.join(map(str, box))})")


def test_without_boxes_nothing_is_said(clean: DataSet, tiny_anchors: Tensor) -> None:
    clean.edit(lambda content: content.update(annotations=content["annotations"][:1]))
    clean.set_box(3, 3, 0, 0)
    index = build_index(read_boxes(clean.detection().data, "train"))
    found = match_boxes(index, tiny_anchors, ImageSize(64, 64))
    assert unmatched_findings("train", index, found) == []
    assert all(sum(each.counts["train"]) == 0 for each in box_histograms({"train": found}))


def test_sizes_are_those_at_the_input(clean: DataSet, tiny_anchors: Tensor) -> None:
    """40 x 30 in a picture of 64 x 48 is a square of 40 at an input of 64 x 64."""
    found = match_boxes(read_split(clean.detection().data, "val"), tiny_anchors, ImageSize(64, 64))
    assert found.sides.tolist() == [[40, 40]] * 4
    sizes, ratios, _ = box_histograms({"val": found})
    assert sizes.counts["val"][sizes.labels.index("32 - 64")] == 4
    assert ratios.counts["val"][ratios.labels.index("0.75 - 1.33")] == 4
