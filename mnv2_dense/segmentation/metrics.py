"""Segmentation metrics: one confusion matrix over the whole set, and its scores.

`evaluate` is the functional core and needs neither torch nor a process group; `SegmentationMetric`
counts pixels over batches and processes and calls it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from mnv2_dense.ops.confusion import confusion_matrix
from mnv2_dense.ops.processes import gather
from mnv2_dense.segmentation.scoring import SegmentationScores, evaluate
from mnv2_dense.structures import Category


class PictureScores:
    """The mIoU of every picture by itself, by the rule of `evaluate`.

    Args:
        classes: How many there are.

    Attributes:
        scores: By the name of the picture; -1 of one that is void altogether.
        classes: How many are in its ground truth.
    """

    def __init__(self, classes: int) -> None:
        self.names = [str(label) for label in range(classes)]
        self.scores: dict[str, float] = {}
        self.classes: dict[str, int] = {}
        self._open: tuple[str, NDArray[np.int64]] | None = None

    def update(self, picture: str, predicted: Tensor, reference: Tensor) -> None:
        """Adds a part of a picture; the parts of one follow each other."""
        counts = confusion_matrix(predicted, reference, len(self.names)).cpu().numpy()
        if self._open is not None and self._open[0] == picture:
            counts = counts + self._open[1]
        self._open = picture, counts
        self.scores[picture] = evaluate(counts, self.names).summary["mIoU"]
        self.classes[picture] = int(counts.any(axis=1).sum())

    def gather(self) -> None:
        """Takes in the pictures of all processes; all must call it."""
        self._open = None
        self.scores = {name: score for own in gather(self.scores) for name, score in own.items()}
        self.classes = {name: count for own in gather(self.classes) for name, count in own.items()}


class SegmentationMetric(Metric):
    """`evaluate` over all pixels given to `update`, in every process.

    The counts are int64 and therefore exact: float32 stops counting at 16.8 million pixels, which
    a hundred pictures hold. Every process must see images of its own, since pixels carry no
    image id (`EpochSampler(pad=False)` sees to that). Every process computes the same scores.

    Args:
        categories: classes in label order.
        kwargs: torchmetrics' own options.
    """

    is_differentiable: bool | None = False
    higher_is_better: bool | None = True
    full_state_update: bool | None = False

    matrix: Tensor

    def __init__(self, categories: Sequence[Category], **kwargs: Any) -> None:
        """Start with no pixel seen."""
        super().__init__(**kwargs)
        self.categories = tuple(categories)
        empty = torch.zeros(len(self.categories), len(self.categories), dtype=torch.int64)
        self.add_state("matrix", default=empty, dist_reduce_fx="sum")

    # pyrefly: ignore[bad-override]  torchmetrics' own signature is (*args, **kwargs)
    def update(self, predicted: Tensor, reference: Tensor) -> None:
        """Add label maps of any one shape; `IGNORE_INDEX` in `reference` is void.

        Raises:
            ValueError: the shapes differ, or a value is no class.
        """
        counts = confusion_matrix(predicted, reference, len(self.categories))
        self.matrix += counts.to(self.matrix.device)

    def compute(self) -> SegmentationScores:
        """Scores over the pixels seen by all processes."""
        # A copy: the state goes on counting after this.
        matrix = self.matrix.cpu().numpy().copy()
        return evaluate(matrix, [category.name for category in self.categories])
