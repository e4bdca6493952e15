import pytest
import torch
from torchvision import tv_tensors

from mnv2_dense.structures import IGNORE_INDEX
from tools.compare.segmentation_recipes import (
    base_size,
    reference_augmentation,
    reference_factor,
)


def test_poly_from_one_to_nothing() -> None:
    factors = [reference_factor(step, steps=10) for step in (0, 5, 10, 11)]
    assert factors == pytest.approx([1, 0.5**0.9, 0, 0])


def test_the_base_size_follows_the_crop() -> None:
    assert [base_size(crop) for crop in (480, 192, 128)] == [520, 208, 139]


def test_picture_and_mask_are_cut_alike_and_what_is_outside_is_void() -> None:
    augment = reference_augmentation(64)
    image = tv_tensors.Image(torch.full((3, 40, 60), 200, dtype=torch.uint8))
    mask = tv_tensors.Mask(torch.ones(40, 60, dtype=torch.uint8))
    voids = 0
    for seed in range(6):
        torch.manual_seed(seed)
        crop, labels = augment(image, mask)
        assert (crop.dtype, crop.shape, labels.shape) == (torch.uint8, (3, 64, 64), (64, 64))
        outside = labels == IGNORE_INDEX
        assert set(labels[~outside].tolist()) == {1}
        assert (crop[:, outside] == 0).all()
        assert (crop[:, ~outside] == 200).all()
        voids += int(outside.any())
    assert 0 < voids < 6
