import cv2
import numpy as np
import pytest

from mnv2_dense.photometric import Distortion, PhotometricDistortion, distort, in_hsv

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
RANGES = {
    "brightness": (-32, 32),
    "contrast": (0.5, 1.5),
    "hue": (-9, 9),
    "saturation": (0.5, 1.5),
    "value": (0.5, 1.5),
}
NEUTRAL = Distortion()


def draws(probability: float, count: int) -> list[Distortion]:
    distortion = PhotometricDistortion(probability)
    return [distortion.draw(seed) for seed in range(count)]


def test_the_seed_decides_everything() -> None:
    distortion = PhotometricDistortion(0.5)
    first = [distortion(PIXELS, seed) for seed in range(30)]
    again = [distortion(PIXELS, seed) for seed in reversed(range(30))]
    np.testing.assert_array_equal(first, again[::-1])
    assert len({image.tobytes() for image in first}) > 25


def test_the_given_picture_is_not_changed() -> None:
    before = PIXELS.copy()
    for seed in range(20):
        image = PhotometricDistortion(1.0)(PIXELS, seed)
        assert (image.shape, image.dtype) == (PIXELS.shape, np.uint8)
    np.testing.assert_array_equal(PIXELS, before)


def test_probability_zero_changes_nothing() -> None:
    assert set(draws(0.0, 50)) == {NEUTRAL}
    np.testing.assert_array_equal(PhotometricDistortion(0.0)(PIXELS, 3), PIXELS)


def test_contrast_comes_first_or_last() -> None:
    drawn = draws(1.0, 1000)
    last = [each.value != 1 for each in drawn if each.contrast != each.value]
    assert np.mean(last) == pytest.approx(0.5, abs=0.05)
    assert all(each.contrast == 1 or each.value == 1 for each in drawn)
    # Without a step in HSV there is no last.
    assert all(in_hsv(each) or each.value == 1 for each in draws(0.5, 1000))


def test_each_step_has_its_own_chance_and_range() -> None:
    drawn = draws(0.5, 3000)
    shares = {}
    for step, (low, high) in RANGES.items():
        amounts = [float(getattr(each, step)) for each in drawn]
        taken = [amount for amount in amounts if amount != getattr(NEUTRAL, step)]
        shares[step] = len(taken) / len(drawn)
        assert np.quantile(taken, [0, 0.5, 1]) == pytest.approx(
            [low, (low + high) / 2, high], abs=0.1 * (high - low)
        )
        assert low <= min(taken) <= max(taken) <= high
    shares["contrast"] += shares.pop("value")
    # One in twenty turns of the hue is rounded to none.
    shares["hue"] *= 19 / 18
    assert shares == pytest.approx(dict.fromkeys(shares, 0.5), abs=0.04)
    both = [each.brightness != 0 and each.saturation != 1 for each in drawn]
    assert np.mean(both) == pytest.approx(0.25, abs=0.04)


def test_amounts_are_exact_in_float32() -> None:
    for each in draws(1.0, 300):
        assert each.brightness == round(each.brightness)
        assert each.hue == round(each.hue)
        for factor in (each.contrast, each.saturation, each.value):
            assert 256 * factor == round(256 * factor)


@pytest.mark.parametrize(
    ("distortion", "before", "after"),
    [
        (Distortion(brightness=32), (100, 250, 0), (132, 255, 32)),
        (Distortion(brightness=-32), (100, 250, 0), (68, 218, 0)),
        (Distortion(contrast=0.5), (100, 250, 0), (50, 125, 0)),
        (Distortion(brightness=32, contrast=0.5), (100, 250, 0), (66, 128, 16)),
        (Distortion(saturation=0.5), (200, 100, 100), (200, 150, 150)),
        (Distortion(hue=9), (200, 0, 0), (200, 60, 0)),
        (Distortion(hue=-9), (200, 0, 0), (200, 0, 60)),
        (Distortion(saturation=0.5, value=0.5), (200, 100, 100), (100, 75, 75)),
        (Distortion(saturation=0.5, value=1.5), (200, 100, 100), (255, 191, 191)),
    ],
)
def test_colour_arithmetic(
    distortion: Distortion, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    pixel = np.array([[before]], dtype=np.uint8)
    np.testing.assert_allclose(distort(pixel, distortion), [[after]], atol=2)


def test_steps_in_hsv_follow_those_in_rgb() -> None:
    brighter = distort(PIXELS, Distortion(brightness=20, contrast=0.75))
    steps = np.clip(PIXELS.astype(int) + 20, 0, 255) * 0.75
    np.testing.assert_array_equal(brighter, np.rint(steps))
    hsv = cv2.cvtColor(brighter, cv2.COLOR_RGB2HSV).astype(int)
    hsv[..., 0] = (hsv[..., 0] - 7) % 180
    hsv[..., 1:] = np.clip(np.rint(hsv[..., 1:] * [1.25, 1.125]), 0, 255)
    expected = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    both = Distortion(brightness=20, contrast=0.75, hue=-7, saturation=1.25, value=1.125)
    np.testing.assert_array_equal(distort(PIXELS, both), expected)
