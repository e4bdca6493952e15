from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from mnv2_dense.builders.parts import (
    build_backbone,
    build_classifier,
    checkpoint_card,
    input_size,
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


@pytest.mark.parametrize(("stride", "cells"), [(None, 5), (8, 9), (32, 3)])
def test_backbone_of_a_config_at_its_or_another_stride(stride: int | None, cells: int) -> None:
    overrides = ["backbone.norm_epsilon=0.5", "backbone.norm_momentum=0.2"]
    backbone = build_backbone(
        segmentation_config_of(NOWHERE, *overrides), ["block_16"], stride
    ).eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 65, 65))
    assert features["block_16"].shape[2:] == (cells, cells)
    norms = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.2)}


def test_classifier_of_a_config() -> None:
    classifier = build_classifier(config_of(NOWHERE, "backbone.width_mult=1.0"))
    assert sum(parameter.numel() for parameter in classifier.parameters()) == 3_504_872


def test_loaders_take_seed_and_batch_sizes() -> None:
    overrides = ["data.batch_size=3", "data.val_batch_size=5", "training.seed=7"]
    assert loader_options(config_of(NOWHERE, *overrides)) == {
        "batch_size": 3,
        "val_batch_size": 5,
        "num_workers": 0,
        "seed": 7,
    }
