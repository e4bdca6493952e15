import numpy as np
import pytest

from mnv2_dense.shapes.paint import TEXTURES, draw_colour, draw_texture, mix


@pytest.mark.parametrize("position", range(len(TEXTURES)))
def test_every_texture_fills_its_piece_within_zero_and_one(position: int) -> None:
    field = TEXTURES[position](np.random.default_rng(0), 17, 5)
    assert field.shape == (17, 5)
    assert field.dtype == np.float32
    assert field.min() >= 0
    assert field.max() <= 1


def test_a_texture_of_one_pixel_is_drawn() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert np.isfinite(draw_texture(rng, 1, 1)).all()


def test_mix_gives_first_colour_at_zero_and_second_at_one() -> None:
    first = np.array([10, 20, 30], dtype=np.float32)
    second = np.array([210, 120, 30], dtype=np.float32)
    field = np.array([[0.0, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(mix(field, first, second), [[[10, 20, 30], [210, 120, 30]]])


def test_colours_keep_the_contrast_asked_for() -> None:
    rng = np.random.default_rng(0)
    gray = np.full(3, 128, dtype=np.float32)
    distances = [np.linalg.norm(draw_colour(rng, gray, 90.0) - gray) for _ in range(200)]
    assert np.mean(np.array(distances) >= 90) > 0.99


def test_an_impossible_contrast_still_gives_a_colour() -> None:
    colour = draw_colour(np.random.default_rng(0), np.zeros(3, dtype=np.float32), 1000.0)
    assert colour.shape == (3,)
