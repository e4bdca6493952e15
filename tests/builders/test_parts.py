from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from mnv2_dense.builders.parts import (
    augmentation_options,
    checkpoint_card,
    input_size,
    left_to_device,
    loader_options,
    task_options,
)
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config
from mnv2_dense.structures import Category, ImageSize
from tests.commands.tiny import config_of, segmentation_config_of

CATEGORIES = (Category(3, "cat"), Category(7, "dog"))
NOWHERE = Path("data")

both_tasks = pytest.mark.parametrize("make", [config_of, segmentation_config_of])


@both_tasks
def test_the_card_is_plain_and_gives_the_config_back(make: Callable[..., Config]) -> None:
    config = make(NOWHERE)
    card = checkpoint_card(config, CATEGORIES)
    assert parse_config(card["config"]) == config
    assert card["categories"] == [[3, "cat"], [7, "dog"]]


@both_tasks
def test_schedule_and_optimiser_are_those_of_the_config(make: Callable[..., Config]) -> None:
    config = make(
        NOWHERE,
        *("optimizer.name=sgd", "optimizer.learning_rate=2", "optimizer.head_rate_factor=10"),
        *("schedule.name=poly", "schedule.power=2"),
    )
    options = task_options(config, CATEGORIES)
    network = nn.Module()
    network.backbone, network.head = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizer = options["make_optimizer"](network)
    assert {group["lr"] for group in optimizer.param_groups} == {2, 20}
    assert options["learning_rate_factor"](5, 10) == pytest.approx(0.25)
    assert (options["mean"], options["std"]) == (config.input.mean, config.input.std)


def test_input_size_is_height_then_width() -> None:
    config = config_of(NOWHERE, "input.height=40", "input.width=72")
    assert input_size(config) == ImageSize(height=40, width=72)


def test_loaders_take_seed_and_batch_sizes() -> None:
    overrides = ["data.batch_size=3", "data.val_batch_size=5", "training.seed=7"]
    assert loader_options(config_of(NOWHERE, *overrides)) == {
        "batch_size": 3,
        "val_batch_size": 5,
        "num_workers": 0,
        "seed": 7,
    }


@both_tasks
@pytest.mark.parametrize(
    ("place", "gpus", "on_device"),
    [
        ("auto", 0, False),
        ("auto", 1, True),
        ("worker", 1, False),
        ("device", 0, True),
    ],
)
def test_colours_are_distorted_in_one_place(
    make: Callable[..., Config],
    place: str,
    gpus: int,
    on_device: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    keys = (f"training.photometric_on={place}", "training.accelerator=auto")
    config = make(NOWHERE, *keys, "augmentation.photometric=0.25")
    options, left = augmentation_options(config), left_to_device(config)
    assert options["photometric"] == (0.0 if on_device else 0.25)
    assert options["horizontal_flip"] == config.augmentation.horizontal_flip
    assert (left.probability if left else None) == (0.25 if on_device else None)
    assert left_to_device(make(NOWHERE, *keys, "augmentation.photometric=0")) is None
