from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.drawing import READABLE_SIDE
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.examples import PER_KIND, draw_examples
from mnv2_dense.inspection.findings import Box, Finding
from tests.inspection.data_set import save_picture

RED = (230, 0, 0)


def finding(*paths: Path, boxes: tuple[Box, ...] = (), kind: str = "bad") -> Finding:
    return Finding(Problem(kind, Level.PROBLEM, "bad:", "there"), paths, boxes)


def is_red(picture: np.ndarray) -> np.ndarray:
    return (picture == RED).all(axis=-1)


def test_a_few_of_each_kind_are_drawn(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", 1)
    many = [finding(tmp_path / "a.png", kind=kind) for kind in "xyx" for _ in range(PER_KIND)]
    drawn = [example.kind for example in draw_examples(many)]
    assert drawn == ["x"] * PER_KIND + ["y"] * PER_KIND


def test_pictures_are_thumbnails_with_boxes_where_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (1280, 640)).save(tmp_path / "a.png")
    box = (640.0, 320.0, 960.0, 480.0)
    (example,) = draw_examples([finding(tmp_path / "a.png", boxes=(box,))])
    assert example.picture.shape == (READABLE_SIDE // 2, READABLE_SIDE, 3)
    rows, columns = np.nonzero(is_red(example.picture))
    assert (abs(rows.min() - 80), abs(columns.min() - 160)) <= (1, 1)
    assert (abs(rows.max() - 120), abs(columns.max() - 240)) <= (2, 2)
    assert example.caption == "there"


def test_boxes_outside_are_seen_in_a_margin(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    boxes = ((70.0, 5.0, 90.0, 20.0), (-1e308, 0.0, 1e308, 9.0), (0.0, float("nan"), 1.0, 1.0))
    (example,) = draw_examples([finding(tmp_path / "a.png", boxes=boxes)])
    assert is_red(example.picture).any()
    assert max(example.picture.shape) <= READABLE_SIDE


def test_pictures_stand_side_by_side(tmp_path: Path) -> None:
    for name, color in (("a.png", "blue"), ("b.png", "lime")):
        Image.new("RGB", (500, 500), color).save(tmp_path / name)
    (example,) = draw_examples([finding(tmp_path / "a.png", tmp_path / "b.png")])
    assert example.picture[5, 5].tolist() == [0, 0, 255]
    assert example.picture[5, -5].tolist() == [0, 255, 0]


def test_what_cannot_be_read_or_drawn_is_passed_over(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", 1)
    found = [finding(tmp_path / "gone.png"), finding(), finding(tmp_path / "a.png")]
    assert len(draw_examples(found)) == 1


def test_a_very_thin_picture_is_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (20_000, 1)).save(tmp_path / "a.png")
    for boxes in ((), ((0.0, 0.0, 19_000.0, 1.0),)):
        (example,) = draw_examples([finding(tmp_path / "a.png", boxes=boxes)])
        assert example.picture.shape == (1, READABLE_SIDE, 3)


@pytest.mark.parametrize("corner", [(0, 0), (3000, 1000), (4096 - 6, 2048 - 3)])
def test_tiny_boxes_are_enlarged_with_what_is_around(
    tmp_path: Path, corner: tuple[int, int]
) -> None:
    """A box of 6 x 3 pixels, filled with blue, in a picture of 4096 x 2048."""
    x, y = corner
    picture = Image.new("RGB", (4096, 2048), "lime")
    picture.paste("blue", (x, y, x + 6, y + 3))
    picture.save(tmp_path / "a.png")
    found = finding(tmp_path / "a.png", boxes=((x, y, x + 6, y + 3),))
    (example,) = draw_examples([found])
    drawn = example.picture
    assert READABLE_SIDE * 0.8 <= max(drawn.shape) <= READABLE_SIDE
    rows, columns = np.nonzero(is_red(drawn))
    assert columns.max() - columns.min() >= 32
    inside = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert (inside == (0, 0, 255)).all(axis=-1).mean() > 0.5
    outside = np.ones(drawn.shape[:2], bool)
    outside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = False
    assert (drawn[outside] == (0, 255, 0)).all()


def test_captions_name_what_is_drawn(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", 1)
    found = finding(tmp_path / "a.png")
    drawn = draw_examples([found._replace(caption="a.png, box 3"), found])
    assert [example.caption for example in drawn] == ["a.png, box 3", "there"]
