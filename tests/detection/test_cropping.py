import random

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from mnv2_dense.detection import cropping
from mnv2_dense.detection.cropping import Window, centres_inside, draw_canvas, draw_crop
from mnv2_dense.structures import ImageSize

CANVAS = Window(-100, -50, 300, 250)
BOXES = np.array([[10.0, 20.0, 90.0, 80.0], [-5.0, 100.0, 150.0, 240.0]])


def test_a_canvas_holds_the_picture() -> None:
    windows = [draw_canvas(ImageSize(60, 80), 4.0, random.Random(seed)) for seed in range(300)]
    left, top, right, bottom = np.array(windows).T
    assert (left <= 0).all()
    assert (top <= 0).all()
    assert (right >= 80).all()
    assert (bottom >= 60).all()
    ratios = (bottom - top) / 60
    np.testing.assert_allclose(ratios, (right - left) / 80, atol=1 / 60)
    assert np.quantile(ratios, [0, 0.5, 1]) == pytest.approx([1, 2.5, 4], abs=0.25)


def test_a_ratio_of_1_is_the_picture() -> None:
    assert draw_canvas(ImageSize(60, 80), 1.0, random.Random(0)) == (0, 0, 80, 60)


@pytest.mark.parametrize("min_iou", [0.0, 0.1, 0.5])
def test_a_crop_overlaps_a_box_whose_centre_it_holds(min_iou: float) -> None:
    generator = np.random.default_rng(0)
    found = [draw_crop(CANVAS, BOXES, min_iou, 0.1, generator) for _ in range(200)]
    crops = np.array([crop for crop in found if crop is not None])
    assert len(crops) > 100
    assert (crops[:, :2] >= CANVAS[:2]).all()
    assert (crops[:, 2:] <= CANVAS[2:]).all()
    ratios = np.divide(*(crops[:, 2:] - crops[:, :2]).T)
    assert 0.5 <= ratios.min() <= ratios.max() <= 2
    ious = box_iou(torch.tensor(crops), torch.tensor(BOXES)).numpy()
    assert ((ious >= min_iou) & centres_inside(crops, BOXES)).any(axis=1).all()


def test_no_trial_fits() -> None:
    speck = np.array([[10.0, 10.0, 12.0, 12.0]])
    assert draw_crop(CANVAS, speck, 0.9, 0.3, np.random.default_rng(0)) is None


def test_without_boxes_every_crop_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cropping, "CROP_TRIALS", 20)
    generator = np.random.default_rng(0)
    crops = {draw_crop(CANVAS, np.empty((0, 4)), 0.9, 0.3, generator) for _ in range(20)}
    assert len(crops) > 15
    assert None not in crops


def test_centres_inside_count_the_first_edge_only() -> None:
    crops = np.array([[0, 0, 10, 10], [10, 0, 20, 10]])
    boxes = np.array([[8.0, 2.0, 12.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    assert centres_inside(crops, boxes).tolist() == [[False, True], [True, False]]
