"""What the objects of both tasks are built from."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from mnv2_dense import __version__
from mnv2_dense.config.schema import AnyConfig, Config
from mnv2_dense.photometric import PhotometricDistortion
from mnv2_dense.structures import Category, ImageSize
from mnv2_dense.training.optimizer import build_optimizer
from mnv2_dense.training.schedule import learning_rate_factor


def input_size(config: AnyConfig) -> ImageSize:
    """Size of the network's input."""
    return ImageSize(config.input.height, config.input.width)


def task_options(config: AnyConfig, categories: Sequence[Category]) -> dict[str, Any]:
    """What `DenseTask` takes beside the network and its metric."""
    return {
        "mean": config.input.mean,
        "std": config.input.std,
        "make_optimizer": partial(build_optimizer, **config.optimizer.model_dump()),
        "learning_rate_factor": _factor(config),
        "card": checkpoint_card(config, categories),
        "channels_last": config.training.channels_last,
    }


def _factor(config: AnyConfig) -> Callable[[int, int], float]:
    options = config.schedule.model_dump()

    def factor(step: int, total_steps: int) -> float:
        return learning_rate_factor(step, total_steps=total_steps, **options)

    return factor


def checkpoint_card(config: AnyConfig, categories: Sequence[Category]) -> dict[str, Any]:
    """What a checkpoint says of itself, in plain values."""
    return {
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "categories": [list(category) for category in categories],
    }


def augmentation_options(config: Config) -> dict[str, Any]:
    """What `TrainTransform` takes beside sizes and colours of the input."""
    options = config.augmentation.model_dump()
    return {**options, "photometric": 0.0} if _distorts_on_device(config) else options


def left_to_device(config: Config) -> PhotometricDistortion | None:
    """The colour distortion that is done to whole batches, if the loader does not do it."""
    if not _distorts_on_device(config):
        return None
    return PhotometricDistortion(config.augmentation.photometric)


def _distorts_on_device(config: Config) -> bool:
    place = config.training.photometric_on
    chosen = on_gpus(config) if place == "auto" else place == "device"
    return chosen and config.augmentation.photometric > 0


def on_gpus(config: AnyConfig) -> bool:
    """Whether the processes run on NVIDIA's or AMD's GPUs."""
    return config.training.accelerator in ("auto", "gpu") and torch.cuda.device_count() > 0


def loader_options(config: Config) -> dict[str, Any]:
    """What `DataModule` takes beside the data sets."""
    return {
        "batch_size": config.data.batch_size,
        "val_batch_size": config.data.val_batch_size,
        "num_workers": config.data.num_workers,
        "seed": config.training.seed,
    }
