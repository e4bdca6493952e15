"""The networks in training, and the batch that all of them are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mnv2_dense.benchmarking.interleaving import Call
from mnv2_dense.builders import Task, build_data, build_task, read_split
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config
from mnv2_dense.shapes.dataset import generate
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import Category, DetectionBatch, SegmentationBatch

Batch = DetectionBatch | SegmentationBatch
CLASSES = {"detection": 80, "segmentation": 21}
"""Of COCO and VOC; the drawn pictures have fewer, which changes no cost."""
SETTINGS: Mapping[str, dict[str, Any]] = {
    "detection": {
        "task": "detection",
        "data": {"batch_size": 8},
        "input": {"height": 320, "width": 320},
    },
    "segmentation": {
        "task": "segmentation",
        "data": {
            "batch_size": 4,
            **{"train_images": "train2017", "train_masks": "label_maps/train2017"},
            **{"val_images": "val2017", "val_masks": "label_maps/val2017"},
            **{"train_list": None, "val_list": None},
            "classes": list(LABEL_NAMES),
        },
        "input": {"height": 513, "width": 513},
        "backbone": {"output_stride": 16},
        "head": {"aspp": "none"},
    },
}
"""Configs of the paper's networks, with the batches that fit a small machine."""


@dataclass(frozen=True)
class Subject:
    """A network to be trained, and what it is shown.

    Attributes:
        config: What it is built from.
        batch: Drawn pictures with the recipe's augmentation.
    """

    config: Config
    batch: Batch

    def build(self, *, channels_last: bool = True) -> Task:
        """The network with random weights, always the same, in training."""
        training = self.config.training.model_copy(update={"channels_last": channels_last})
        config = self.config.model_copy(update={"training": training})
        names = (f"class {number}" for number in range(CLASSES[config.task]))
        torch.manual_seed(0)
        task = build_task(config, [Category(*each) for each in enumerate(names, start=1)])
        task.setup("fit")
        return task.train()


def make_subject(task: str, batch_size: int | None, folder: Path) -> Subject:
    """Draws pictures and loads one batch of them.

    Args:
        task: `detection` or `segmentation`.
        batch_size: None takes that of `SETTINGS`.
        folder: For the pictures.
    """
    settings = SETTINGS[task]
    size, data = settings["input"]["height"], dict(settings["data"])
    data["batch_size"] = batch_size or data["batch_size"]
    root = folder / task
    generate(root, train_images=data["batch_size"], val_images=1, size=size)
    more = {"root": str(root), "num_workers": 0}
    config = parse_config({**settings, "data": {**data, **more}}, ["training.accelerator=cpu"])
    loader = build_data(config, read_split(config, "train"), read_split(config, "val"))
    return Subject(config, next(iter(loader.train_dataloader())))


def hand_step(task: Task, batch: Batch) -> Call:
    """A training step as a loop written by hand has it: no logs, no watch, no average."""
    optimizer = task.make_optimizer(task.network)

    def step() -> None:
        optimizer.zero_grad()
        task.losses(batch).total.backward()  # pyrefly: ignore[bad-argument-type]
        optimizer.step()

    return step
