from collections.abc import Sequence
from pathlib import Path

import pytest

from mnv2_dense.builders.opening import check_same_categories
from mnv2_dense.commands.checks import (
    check_batch,
    check_machine,
)
from mnv2_dense.errors import UserError
from mnv2_dense.structures import Category
from tests.commands.tiny import config_of, segmentation_config_of

CAT, DOG, COW = Category(1, "cat"), Category(2, "dog"), Category(3, "cow")


def test_equal_classes_pass() -> None:
    check_same_categories([CAT, DOG], (CAT, DOG), "the files")


@pytest.mark.parametrize(
    ("second", "difference"),
    [([CAT], "one is longer"), ([CAT, COW], "dog.*cow"), ([DOG, CAT], "cat.*dog")],
)
def test_unequal_classes_name_the_first_difference(
    second: Sequence[Category], difference: str
) -> None:
    with pytest.raises(UserError, match=f"the files have different classes .*{difference}"):
        check_same_categories([CAT, DOG], second, "the files")


@pytest.mark.parametrize(
    ("gpus", "overrides", "words"),
    [
        (0, ["training.accelerator=gpu"], "accelerator=gpu, but PyTorch finds none"),
        (0, ["training.accelerator=mps"], "accelerator=mps, but PyTorch finds none"),
        (1, ["training.accelerator=gpu", "training.devices=2"], "this machine has 1 GPUs"),
        (1, ["training.accelerator=auto", "training.devices=8"], "this machine has 1 GPUs"),
    ],
)
def test_hardware_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, gpus: int, overrides: Sequence[str], words: str
) -> None:
    pretend(monkeypatch, gpus)
    with pytest.raises(UserError, match=words):
        check_machine(config_of(Path("data"), *overrides))


@pytest.mark.parametrize(
    ("gpus", "overrides"),
    [
        (0, ["training.accelerator=auto"]),
        (0, ["training.devices=4"]),
        (0, ["training.devices=2", "training.sync_batchnorm=true"]),
        (2, ["training.accelerator=gpu", "training.devices=2", "training.sync_batchnorm=true"]),
        (1, ["training.accelerator=cpu", "training.devices=4"]),
    ],
)
def test_hardware_that_is_there(
    monkeypatch: pytest.MonkeyPatch, gpus: int, overrides: Sequence[str]
) -> None:
    pretend(monkeypatch, gpus)
    check_machine(config_of(Path("data"), *overrides))


@pytest.mark.parametrize(
    ("images", "overrides"),
    [
        (12, ["data.batch_size=1"]),
        (1, []),
        (2, ["training.devices=2"]),
        (12, ["data.batch_size=1", "head.extra_channels=[64, 64, 64]", "input.height=128"]),
    ],
)
def test_a_batch_that_is_too_small_for_the_norms(images: int, overrides: Sequence[str]) -> None:
    with pytest.raises(UserError, match=r"one image per step .* two images or more"):
        check_batch(config_of(Path("data"), *overrides), images)


@pytest.mark.parametrize(
    ("images", "overrides"),
    [
        (2, []),
        (12, ["data.batch_size=1", "training.freeze_norm_epochs=1"]),
        (12, ["data.batch_size=1", "input.width=513"]),
        (12, ["data.batch_size=1", "backbone.output_stride=16", "input.height=257"]),
        (12, ["data.batch_size=1", "training.devices=2", "training.sync_batchnorm=true"]),
    ],
)
def test_a_batch_that_the_norms_can_take(images: int, overrides: Sequence[str]) -> None:
    check_batch(config_of(Path("data"), *overrides), images)


def test_a_segmenter_takes_one_image_where_its_map_has_cells() -> None:
    one = ["data.batch_size=1"]
    check_batch(segmentation_config_of(Path("data"), *one), 12)
    single_cell = [*one, "input.height=32", "input.width=32", "backbone.output_stride=32"]
    with pytest.raises(UserError, match=r"two images or more"):
        check_batch(segmentation_config_of(Path("data"), *single_cell), 12)


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
