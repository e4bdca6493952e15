import numpy as np

from mnv2_dense.shapes.background import draw_background
from mnv2_dense.shapes.difficulty import Difficulty


def test_background_has_the_size_asked_for_and_is_cluttered() -> None:
    picture = draw_background(np.random.default_rng(0), 96, Difficulty())
    assert picture.shape == (96, 96, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10


def test_patches_and_clutter_can_be_turned_off() -> None:
    plain = Difficulty(patches=(0, 0), clutter=(0, 0), background_strength=0.0)
    picture = draw_background(np.random.default_rng(0), 96, plain)
    assert (picture == picture[0, 0]).all()
