import cv2
import numpy as np
import pytest
import torch

from mnv2_dense.ops.distortion import distort_batch, join_distortions
from mnv2_dense.photometric import Distortion, PhotometricDistortion, distort
from tests.waits import Waits


def both_ways(pictures: np.ndarray, distortions: list[Distortion]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [B, H, W, 3] distorted as a batch, and one by one by OpenCV."""
    rows = join_distortions(distortions)
    assert rows is not None
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    batch = distort_batch(images, rows)
    assert (batch.shape, batch.dtype) == (images.shape, torch.uint8)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    singles = [distort(*pair) for pair in zip(pictures, distortions, strict=True)]
    return batch.permute(0, 2, 3, 1).numpy().astype(int), np.array(singles, int)


def test_a_batch_is_within_one_level_of_its_singles() -> None:
    generator = np.random.default_rng(0)
    for probability in (0.5, 1.0):
        colours = PhotometricDistortion(probability)
        pictures = generator.integers(0, 256, (60, 40, 45, 3), dtype=np.uint8)
        # Grays, full colours and dark ones are where HSV divides by nothing.
        pictures[::4] = pictures[::4, :, :, :1]
        pictures[1::4] = np.where(pictures[1::4] > 127, 255, 0)
        pictures[2::4] //= 64
        batch, singles = both_ways(pictures, [colours.draw(seed) for seed in range(60)])
        assert np.abs(batch - singles).max() <= 1


@pytest.mark.parametrize(
    "distortion",
    [Distortion(), Distortion(brightness=-31), Distortion(brightness=20, contrast=1.3671875)],
)
def test_without_hsv_it_is_the_same(distortion: Distortion) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 45, 3), dtype=np.uint8)
    batch, singles = both_ways(pictures, [distortion] * 2)
    np.testing.assert_array_equal(batch, singles)


def test_every_colour_has_opencvs_hue_and_saturation() -> None:
    # Hue and saturation of no change but the value's are seen at the value 255.
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    picture = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, steps.size, 3)
    distortion = Distortion(hue=3, saturation=1.25, value=1.5)
    hsv = cv2.cvtColor(picture[0], cv2.COLOR_RGB2HSV).astype(int)
    hue, saturation = (hsv[..., 0] + 3) % 180, np.minimum(np.rint(hsv[..., 1] * 1.25), 255)
    value = np.minimum(np.rint(hsv[..., 2] * 1.5), 255)
    batch, _ = both_ways(picture, [distortion])
    for channel, first in enumerate((150, 90, 30)):
        place = (hue + first) % 180
        share = np.clip(np.minimum(place, 120 - place), 0, 30) / 30
        exact = value * (1 - saturation / 255 * share)
        assert np.abs(batch[0, ..., channel] - exact).max() <= 0.5 + 1e-9


def test_a_batch_of_nothing() -> None:
    assert join_distortions([]) is None
    assert join_distortions([None, None]) is None
    empty = torch.zeros((0, 3, 8, 8), dtype=torch.uint8)
    assert distort_batch(empty, torch.zeros(0, 5)).shape == (0, 3, 8, 8)


def test_nothing_waits_for_the_device() -> None:
    colours = PhotometricDistortion(1.0)
    rows = join_distortions([colours.draw(seed) for seed in range(4)])
    assert rows is not None
    with Waits() as waits:
        distort_batch(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), rows)
    assert waits.found == []
