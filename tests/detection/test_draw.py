import numpy as np
import pytest
import torch

from mnv2_dense.detection.draw import draw_detections, draw_targets, label_color, text_color
from mnv2_dense.drawing import Picture
from mnv2_dense.structures import BoxTargets, Detections

NAMES = ("cat", "größter Hund")


def gray(height: int = 60, width: int = 80) -> Picture:
    return np.full((height, width, 3), 128, np.uint8)


def detections(score: float = 0.9, label: int = 0) -> Detections:
    box = torch.tensor([[10.0, 20, 50, 50]])
    return Detections(box, torch.tensor([score]), torch.tensor([label]))


def test_a_box_is_drawn_in_its_colour_on_its_edge_of_a_copy() -> None:
    picture = gray()
    drawn = draw_detections(picture, detections(), NAMES)
    assert drawn.shape == picture.shape
    assert drawn.dtype == np.uint8
    assert (picture == 128).all()
    assert tuple(drawn[35, 10]) == label_color(0)  # left edge
    assert tuple(drawn[50, 30]) == label_color(0)  # bottom edge
    assert tuple(drawn[40, 40]) == (128, 128, 128)  # inside
    assert tuple(drawn[5, 75]) == (128, 128, 128)  # outside


def test_scores_below_the_threshold_are_left_out() -> None:
    assert (draw_detections(gray(), detections(0.29), NAMES, 0.3) == 128).all()
    assert (draw_detections(gray(), detections(0.5), NAMES, 0.5) != 128).any()


def test_nothing_to_draw_gives_a_copy() -> None:
    picture = gray()
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    drawn = draw_detections(picture, nothing, NAMES)
    drawn[:] = 0
    assert (picture == 128).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (480, 640)])
def test_any_size_and_a_box_over_the_whole_picture(size: tuple[int, int]) -> None:
    picture = gray(*size)
    targets = BoxTargets(torch.tensor([[0.0, 0, size[1], size[0]]]), torch.tensor([1]))
    assert draw_targets(picture, targets, NAMES).shape == (*size, 3)


def test_a_read_only_picture_is_drawn_on() -> None:
    picture = gray()
    picture.flags.writeable = False
    assert (draw_targets(picture, BoxTargets(*detections()[::2]), NAMES) != 128).any()


def test_classes_have_different_bright_colours() -> None:
    colors = [label_color(label) for label in range(80)]
    assert len(set(colors)) == 80
    assert all(max(color) == 255 for color in colors)


def test_captions_can_be_read_on_their_colour() -> None:
    blue, yellow, red = (0, 0, 255), (255, 255, 0), (255, 38, 38)
    assert [text_color(color) for color in (blue, yellow, red)] == ["white", "black", "black"]


@pytest.mark.parametrize("label", [0, 1])
def test_a_caption_has_letters_of_that_colour(label: int) -> None:
    drawn = draw_targets(gray(), BoxTargets(*detections(label=label)[::2]), NAMES)
    brightness = drawn.astype(int).sum(axis=2)  # Letters have smooth edges.
    if text_color(label_color(label)) == "black":
        assert brightness.min() < 10
    else:
        assert brightness.max() > 3 * 255 - 10
