import cv2
import numpy as np
import pytest
import torch

from mnv2_dense.detection.transforms import EvalTransform
from mnv2_dense.ops.legacy_resize import resize_legacy
from mnv2_dense.prediction.preparing import (
    fits,
    pad_picture,
    resize_picture,
    shrink_picture,
    window_starts,
)
from mnv2_dense.structures import ImageSize

RANDOM = np.random.default_rng(0)


def noise(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(50, 70), (1, 1), (1, 900), (300, 20)])
def test_a_detectors_picture_is_resized_as_in_evaluation(size: tuple[int, int]) -> None:
    picture, wanted = noise(*size), ImageSize(64, 96)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    evaluated = EvalTransform(wanted)(picture, *none)[0]
    assert np.array_equal(resize_picture(picture, wanted, "bilinear"), evaluated)
    legacy = resize_picture(picture, wanted, "legacy_bilinear")
    assert np.array_equal(legacy, resize_legacy(picture, wanted).round().astype(np.uint8))


def test_padding_is_the_rounded_mean_at_the_right_and_below() -> None:
    picture = noise(3, 4)
    padded = pad_picture(picture, ImageSize(5, 9), (127.4, 127.6, 10.0))
    assert np.array_equal(padded[:3, :4], picture)
    assert (padded[3:] == [127, 128, 10]).all()
    assert (padded[:, 4:] == [127, 128, 10]).all()


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (2000, 70), (65, 64)])
def test_shrinking_keeps_the_aspect_and_smooths(size: tuple[int, int]) -> None:
    """As torch's interpolation with antialias, up to rounding."""
    smooth = np.asarray(cv2.GaussianBlur(noise(*size), (0, 0), 2), np.uint8)
    small = shrink_picture(smooth, ImageSize(64, 64))
    assert fits(small, ImageSize(64, 64))
    assert max(small.shape[:2]) == 64
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(smooth).permute(2, 0, 1)[None].float(),
        small.shape[:2],
        mode="bilinear",
        antialias=True,
    )
    difference = expected[0].permute(1, 2, 0).numpy() - small
    assert np.abs(difference).max() < 1.1


def test_windows_overlap_and_end_with_the_picture() -> None:
    assert window_starts(100, 40, 0.25) == [0, 30, 60]
    assert window_starts(101, 40, 0.25) == [0, 30, 60, 61]
    assert window_starts(30, 40, 0.25) == [0]
