import random

import numpy as np
import pytest

from mnv2_dense import photometric
from mnv2_dense.photometric import PhotometricDistortion

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
AMOUNTS = {
    "_brightness": (-32, 32),
    "_contrast": (0.5, 1.5),
    "_saturation": (0.5, 1.5),
    "_hue": (-18, 18),
}


def record_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Replaces the four distortions by ones that only note their name and amount."""
    taken: list[tuple[str, float]] = []

    def noting(name: str) -> photometric.Distortion:
        def note(image: np.ndarray, amount: float) -> np.ndarray:
            taken.append((name, amount))
            return image

        return note

    for name in AMOUNTS:
        monkeypatch.setattr(photometric, name, noting(name))
    return taken


def test_the_generator_decides_everything() -> None:
    distort = PhotometricDistortion(0.5)
    first = [distort(PIXELS, random.Random(seed)) for seed in range(30)]
    again = [distort(PIXELS, random.Random(seed)) for seed in reversed(range(30))]
    np.testing.assert_array_equal(first, again[::-1])
    assert len({image.tobytes() for image in first}) > 25


def test_the_given_picture_is_not_changed() -> None:
    before = PIXELS.copy()
    for seed in range(20):
        image = PhotometricDistortion(1.0)(PIXELS, random.Random(seed))
        assert (image.shape, image.dtype) == (PIXELS.shape, np.uint8)
    np.testing.assert_array_equal(PIXELS, before)


def test_probability_zero_changes_nothing_and_draws_nothing() -> None:
    generator = random.Random(3)
    np.testing.assert_array_equal(PhotometricDistortion(0.0)(PIXELS, generator), PIXELS)
    assert generator.random() == random.Random(3).random()


def test_steps_come_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = record_steps(monkeypatch)
    generator, orders = random.Random(0), set()
    for _ in range(400):
        taken.clear()
        PhotometricDistortion(1.0)(PIXELS, generator)
        orders.add(tuple(name for name, _ in taken))
    assert len(orders) == 24


def test_each_step_has_its_own_chance_and_range(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = record_steps(monkeypatch)
    generator = random.Random(0)
    for _ in range(1000):
        PhotometricDistortion(0.5)(PIXELS, generator)
    for step, (low, high) in AMOUNTS.items():
        amounts = [amount for name, amount in taken if name == step]
        assert len(amounts) / 1000 == pytest.approx(0.5, abs=0.06)
        assert np.quantile(amounts, [0, 0.5, 1]) == pytest.approx(
            [low, (low + high) / 2, high], abs=0.1 * (high - low)
        )
        assert low <= min(amounts) <= max(amounts) <= high


@pytest.mark.parametrize(
    ("step", "amount", "before", "after"),
    [
        ("_brightness", 32.0, (100, 250, 0), (132, 255, 32)),
        ("_brightness", -32.0, (100, 250, 0), (68, 218, 0)),
        ("_contrast", 0.5, (100, 250, 0), (50, 125, 0)),
        ("_saturation", 0.5, (200, 100, 100), (200, 150, 150)),
        ("_hue", 18.0, (200, 0, 0), (200, 60, 0)),
        ("_hue", -18.0, (200, 0, 0), (200, 0, 60)),
    ],
)
def test_colour_arithmetic(
    step: str, amount: float, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    pixel = np.array([[before]], dtype=np.uint8)
    np.testing.assert_allclose(getattr(photometric, step)(pixel, amount), [[after]], atol=2)
