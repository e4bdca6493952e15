"""What the commands ask of each kind of task: its words, files and pictures."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mnv2_dense.drawing import Picture
from mnv2_dense.structures import Category, ImageSize


class Column(ABC):
    """One kind of task as a user meets it.

    Args:
        task: The Lightning module.
        categories: Its classes in label order.
        size: The network's input.
    """

    def __init__(self, task: Any, categories: Sequence[Category], size: ImageSize) -> None:
        self.task = task
        self.size = size
        self.names = [category.name for category in categories]
        self.categories = list(categories)

    @abstractmethod
    def see(self, image: np.ndarray) -> Any:
        """What the network makes of a picture, uint8 RGB [H, W, 3], prepared as it needs it."""

    @abstractmethod
    def describe_split(self, index: Any) -> str:
        """How much a split holds: `343 images, 2974 boxes`."""

    @abstractmethod
    def describe_batch(self, batch: Any) -> str:
        """What a training batch holds beside its images."""

    @abstractmethod
    def tables(self) -> list[str]:
        """The scores of the task's last evaluation, as tables."""

    @abstractmethod
    def write_results(self, out: Path) -> list[Path]:
        """Writes what an evaluation leaves beside `metrics.json`."""

    @abstractmethod
    def draw_pair(self, index: Any, position: int) -> tuple[str, Picture]:
        """A picture of a measured set, ground truth left and prediction right, and its name."""

    @staticmethod
    @abstractmethod
    def draw_sample(sample: Any, names: Sequence[str]) -> tuple[str, Picture]:
        """What a sample holds in words, and its picture with its ground truth drawn on it.

        Args:
            sample: As a data set of this kind gives it.
            names: The classes in label order.
        """

    @staticmethod
    @abstractmethod
    def stored_sample(index: Any, position: int) -> Any:
        """A picture of a split with its ground truth as a sample, neither changed nor resized.

        Raises:
            UserError: The picture or its ground truth cannot be used.
        """


def to_picture(image: Tensor) -> Picture:
    """A sample's image, [3, H, W] in 0-255, rounded where it is not yet."""
    return image.permute(1, 2, 0).double().round().byte().numpy()
