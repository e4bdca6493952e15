import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as mask_api

from mnv2_dense.formats.outlines import draw_outlines, parse_outline
from mnv2_dense.structures import ImageSize

SIZE = ImageSize(30, 40)
BOX = [5, 6, 15, 6, 15, 26, 5, 26]


def encode(mask: np.ndarray) -> dict[str, Any]:
    encoded: Any = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def decode(stored: Any, size: ImageSize) -> np.ndarray:
    """As pycocotools' `annToMask`."""
    encoded = mask_api.frPyObjects(stored, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own, with NumPy 2
        whole = mask_api.merge(encoded) if isinstance(encoded, list) else encoded
        return mask_api.decode(whole).astype(bool)


def draw(value: object, size: ImageSize = SIZE) -> np.ndarray:
    outline = parse_outline(value, size)
    assert outline is not None
    return draw_outlines([outline], size)


def test_polygons_are_drawn() -> None:
    expected = np.zeros(SIZE, bool)
    expected[6:26, 5:15] = True
    assert (draw([BOX]) == expected).all()
    both = draw([BOX, [20, 0, 30, 0, 30, 30, 20, 30]])
    assert (both[:, 20:30]).all()
    assert both.sum() == expected.sum() + 300


def test_a_slanted_polygon_is_as_pillow_draws_it_within_its_border() -> None:
    corners = [200, 20, 350, 160, 250, 290, 60, 180]
    size = ImageSize(300, 400)
    picture = Image.new("1", (400, 300))
    ImageDraw.Draw(picture).polygon(corners, fill=1)
    differing = draw([corners], size) != np.asarray(picture)
    border = Image.new("1", (400, 300))
    ImageDraw.Draw(border).line([*corners, *corners[:2]], fill=1, width=4)
    assert differing.any()
    assert not (differing & ~np.asarray(border)).any()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths_give_back_the_mask(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(SIZE) < share
    assert (draw(encode(mask)) == mask).all()


def test_long_runs_and_plain_counts() -> None:
    size = ImageSize(2000, 3000)
    mask = np.zeros(size, bool)
    mask[1500:, 2000:] = True
    assert (draw(encode(mask), size) == mask).all()
    plain = {"size": [30, 40], "counts": [30, 60, 1110]}
    assert (draw(plain)[:, 1:3]).all()
    assert draw(plain).sum() == 60


def test_several_instances_are_drawn_at_once() -> None:
    first, second = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    first[:5], second[3:9] = True, True
    outlines = [parse_outline(value, SIZE) for value in (encode(first), encode(second), [BOX])]
    drawn = draw_outlines([each for each in outlines if each is not None], SIZE)
    assert (drawn == (first | second | draw([BOX]))).all()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [[]],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [BOX, "1,2"],
        [[1, 2, 3, 4, 5, math.nan]],
        [[1, 2, 3, 4, 5, math.inf]],
        [[1, 2, 3, 4, 5, 1e9]],
        [[1, 2, 3, 4, 5, "6"]],
        [[1, 2, 3, 4, 5, True]],
        BOX,
        {"size": [40, 30], "counts": [1200]},
        {"size": [30, 40], "counts": [1201]},
        {"size": [30, 40], "counts": [-1, 1201]},
        {"size": [30, 40], "counts": [1200.0]},
        {"size": [30, 40], "counts": None},
        {"size": [30, 40], "counts": ""},
        {"size": [30, 40], "counts": "\x00"},
        {"size": [30, 40], "counts": "\ud800"},
        {"size": [30, 40], "counts": "oo"},
        {"size": [30, 40], "counts": "o" * 100},
        {"size": [10**9, 10**9], "counts": [10**18]},
    ],
)
def test_malformed_outlines_are_not_drawn(value: object) -> None:
    assert parse_outline(value, SIZE) is None


def test_every_outline_of_coco(shared: Path) -> None:
    """The shared pictures' instances are all drawn as pycocotools draws them."""
    file = shared / "data" / "coco" / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    sizes = {each["id"]: ImageSize(each["height"], each["width"]) for each in content["images"]}
    crowds = 0
    for entry in content["annotations"]:
        size, stored = sizes[entry["image_id"]], entry["segmentation"]
        assert (draw(stored, size) == decode(stored, size)).all(), entry["id"]
        crowds += entry["iscrowd"]
    assert crowds
