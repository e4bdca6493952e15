"""What the evaluation of masks is measured on: a trained network's answers, and random ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.builders.segmentation import read_split
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.data import SegmentationDataset, collate
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.segmentation.transforms import EvalTransform
from mnv2_dense.structures import IGNORE_INDEX, ImageSize, SampleKey, SegmentationBatch

WINDOW = ImageSize(513, 513)
CLASSES = 21
CELLS = 33
"""Rows and columns of the logits of `WINDOW` at output stride 16."""
BATCH = 4
"""Pictures of a validation step."""


@dataclass(frozen=True)
class Answers:
    """What a network says of a picture, and what is true.

    Attributes:
        name: Of the network.
        logits: [1, C, h, w] of `WINDOW`.
        reference: True classes [H, W] uint8 of it; void beyond the picture.
    """

    name: str
    logits: Tensor
    reference: Tensor


def random_answers() -> Answers:
    """Cells and pixels that have nothing to do with their neighbours: the most work there is."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, CLASSES, CELLS, CELLS, generator=generator)
    reference = torch.randint(0, CLASSES, WINDOW, generator=generator, dtype=torch.uint8)
    reference[::10] = IGNORE_INDEX
    return Answers("random logits", logits, reference)


@dataclass(frozen=True)
class Trained:
    """A trained segmenter and pictures of its data.

    Attributes:
        task: In evaluation mode, of one scale without flips.
        batch: The first pictures of its validation set.
        images: What its network is shown of them, [B, 3, H, W].
        outputs: What it says.
    """

    task: SegmentationTask
    batch: SegmentationBatch
    images: Tensor
    outputs: SegmenterOutputs

    def answers(self) -> Answers:
        """Of the first picture."""
        height, width = self.batch.original_sizes[0]
        reference = torch.full(WINDOW, IGNORE_INDEX, dtype=torch.uint8)
        reference[:height, :width] = self.batch.label_maps[0, :height, :width]
        logits = self.outputs.class_logits[:1].contiguous()
        return Answers("a trained network's logits", logits, reference)


def open_trained(checkpoint: Path, overrides: Sequence[str] = ()) -> Trained:
    """A segmenter's checkpoint, and the first pictures of its validation set.

    Args:
        checkpoint: Its config names the data.
        overrides: Of that config, as `data.root=FOLDER`.

    Raises:
        UserError: It cannot be opened, is no segmenter of `WINDOW`, or a picture does not fit that.
    """
    config, _, task = open_checkpoint(checkpoint, overrides)
    if not isinstance(config, SegmentationConfig) or not isinstance(task, SegmentationTask):
        raise UserError(f"{checkpoint}: not a segmenter, whose evaluation is measured here")
    inference = task.inference
    if inference.window != WINDOW or inference.flip or inference.scales != (1.0,):
        raise UserError(
            f"{checkpoint}: what is measured has an input of {WINDOW.width}x{WINDOW.height}, one "
            "evaluation.scales and no evaluation.flip"
        )
    dataset = SegmentationDataset(read_split(config, "val"), EvalTransform())
    batch = collate([dataset[SampleKey(index, 0)] for index in range(min(BATCH, len(dataset)))])
    if any(
        side > most
        for size in batch.original_sizes
        for side, most in zip(size, WINDOW, strict=True)
    ):
        raise UserError(f"{checkpoint}: the first pictures of its data do not fit its input")
    return Trained(task.eval(), batch, *_show(task, batch))


@torch.inference_mode()
def _show(task: SegmentationTask, batch: SegmentationBatch) -> tuple[Tensor, SegmenterOutputs]:
    """What a network is shown of a batch, and what it says."""
    shown: list[tuple[Tensor, SegmenterOutputs]] = []

    def see(images: Tensor) -> SegmenterOutputs:
        images = images.contiguous(memory_format=task.memory_format)
        shown.append((images, task.network(images)))
        return shown[-1][1]

    list(task.inference(see, task.normalize(batch.images), batch.original_sizes))
    return shown[0]


class Replayed(nn.Module):
    """Gives the outputs that a network gave, whatever it is shown."""

    def __init__(self, outputs: SegmenterOutputs) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images: Tensor) -> SegmenterOutputs:
        """The kept outputs."""
        return self.outputs
