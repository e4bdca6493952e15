"""Deployed networks of random weights, the smallest that there are."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import nn

from mnv2_dense.builders import Task, build_task
from mnv2_dense.config.schema import Config
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed, deploy, describe
from mnv2_dense.structures import Category
from tests.commands.tiny import config_of, segmentation_config_of

CATEGORIES = tuple(Category(number, f"class {number}") for number in range(11))


@cache
def tiny_task(task: str, *overrides: str) -> tuple[Config, Task]:
    """Of `detection` or `segmentation`; activations keep their size from layer to layer."""
    config_for = config_of if task == "detection" else segmentation_config_of
    config: Config = config_for(Path("data"), "data.num_classes=11", *overrides)
    torch.manual_seed(0)
    built = build_task(config, CATEGORIES)
    for layer in built.network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return config, built


def tiny(
    task: str, *overrides: str, dynamic_size: bool = False, batch: int | None = None
) -> tuple[Deployed, Manifest]:
    """A network and what it says of itself."""
    config, built = tiny_task(task, *overrides)
    manifest = describe(config, CATEGORIES, dynamic_size=dynamic_size, batch=batch)
    return deploy(built), manifest


def pictures(manifest: Manifest, count: int, size: Sequence[int] = ()) -> torch.Tensor:
    """Noise, of the input's size unless another is given."""
    generator = torch.Generator().manual_seed(count)
    shape = (count, *(size or manifest.input_size), 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
