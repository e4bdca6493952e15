"""Parts of pictures whose classes are known: label maps, and how likely the true classes are."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from mnv2_dense.ops.labels import Places, decode_labels
from mnv2_dense.ops.resize import interpolate_bands
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

_LARGEST_COST = -math.log(torch.finfo(torch.float32).tiny)
"""Of a pixel: a probability in float32 can reach 0, and the loss is to stay finite."""


@dataclass(frozen=True)
class Strip(ABC):
    """Some rows of a picture over its full width, or some columns over its full height.

    Attributes:
        position: The picture's place in the batch.
        top: The first row, in the picture.
        left: The first column, in the picture.
    """

    position: int
    top: int
    left: int

    @property
    @abstractmethod
    def size(self) -> ImageSize:
        """Rows and columns."""

    @abstractmethod
    def probabilities(self) -> Tensor:
        """Of the classes, [C, rows, columns] float32."""

    @abstractmethod
    def labels(self) -> Tensor:
        """The most probable classes, [rows, columns] uint8."""

    def negative_log_likelihood(self, reference: Tensor) -> Tensor:
        """Sum over the pixels of reference [rows, columns] that are not void: a scalar.

        A probability counts as the smallest normal number at least, so that the sum is finite.
        """
        void = reference == IGNORE_INDEX
        costs = self._costs(reference.masked_fill(void, 0).long())
        return costs.clamp(max=_LARGEST_COST).masked_fill(void, 0).sum()

    @abstractmethod
    def _costs(self, classes: Tensor) -> Tensor:
        """Negative log-likelihood of classes [rows, columns] int64, pixel by pixel."""


@dataclass(frozen=True)
class PixelStrip(Strip):
    """A strip with the probabilities of every pixel.

    Attributes:
        values: Probabilities [C, rows, columns] float32.
    """

    values: Tensor

    @property
    @override
    def size(self) -> ImageSize:
        return ImageSize(*self.values.shape[-2:])

    @override
    def probabilities(self) -> Tensor:
        return self.values

    @override
    def labels(self) -> Tensor:
        return _best(self.values)

    @override
    def _costs(self, classes: Tensor) -> Tensor:
        return -_pick(self.values, classes).log()


@dataclass(frozen=True)
class CellStrip(Strip):
    """A strip with probabilities in cells, between which its pixels lie.

    Attributes:
        cells: Probabilities, or in `LogitStrip` logits, [C, h, w].
        rows: Of the pixels among the cells.
        columns: Of the pixels among the cells.
    """

    cells: Tensor
    rows: Places
    columns: Places

    @property
    @override
    def size(self) -> ImageSize:
        return ImageSize(len(self.rows.lower), len(self.columns.lower))

    @override
    def probabilities(self) -> Tensor:
        return torch.cat([self._probabilities(values) for _, values in self._bands()], dim=1)

    @override
    def labels(self) -> Tensor:
        if self.cells.device.type == "cpu":
            cells = self.cells.float().contiguous().numpy()
            return torch.from_numpy(decode_labels(cells, self.rows, self.columns))
        return torch.cat([_best(values) for _, values in self._bands()])

    @override
    def _costs(self, classes: Tensor) -> Tensor:
        return torch.cat([self._costs_of(values, classes[band]) for band, values in self._bands()])

    def _bands(self) -> Iterator[tuple[slice, Tensor]]:
        return interpolate_bands(self.cells, self.rows, self.columns)

    def _probabilities(self, values: Tensor) -> Tensor:
        """Of interpolated cells."""
        return values

    def _costs_of(self, values: Tensor, classes: Tensor) -> Tensor:
        """The same of interpolated cells, which may be changed."""
        return -_pick(values, classes).log()


class LogitStrip(CellStrip):
    """A strip with logits in cells."""

    @override
    def _probabilities(self, values: Tensor) -> Tensor:
        return values.softmax(dim=0)

    @override
    def _costs_of(self, values: Tensor, classes: Tensor) -> Tensor:
        true = _pick(values, classes)
        # In place, as `logsumexp` is not: it takes twice the time.
        highest = values.amax(dim=0)
        return values.sub_(highest).exp_().sum(dim=0).log_().add_(highest - true)


def assemble(strips: Iterable[Strip], sizes: Sequence[ImageSize]) -> list[Tensor]:
    """The most probable class of every pixel: label maps [H, W] uint8 of the given sizes."""
    label_maps: dict[int, Tensor] = {}
    for strip in strips:
        labels = strip.labels()
        if strip.position not in label_maps:
            size = sizes[strip.position]
            label_maps[strip.position] = labels.new_full(size, IGNORE_INDEX)
        rows, columns = strip.size
        down, across = slice(strip.top, strip.top + rows), slice(strip.left, strip.left + columns)
        label_maps[strip.position][down, across] = labels
    return [label_maps[position] for position in range(len(sizes))]


def _best(scores: Tensor) -> Tensor:
    """Classes of the highest scores [C, ...]: as argmax, and several times faster."""
    return scores.max(dim=0).indices.to(torch.uint8)


def _pick(scores: Tensor, classes: Tensor) -> Tensor:
    """Scores [C, rows, columns] of one class per pixel."""
    return scores.gather(0, classes[None])[0]
