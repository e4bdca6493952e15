"""One evaluation twice: of our network, and of the .tflite file in its place."""

from collections.abc import Sequence

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2_dense.builders import Index, Task, build_data
from mnv2_dense.builders.trainer import trainer_options
from mnv2_dense.config.schema import Config
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.parity.answers import logits_of
from mnv2_dense.parity.box_answers import FileBoxes
from mnv2_dense.parity.runtime import Runtime
from mnv2_dense.segmentation.network import SegmenterOutputs
from mnv2_dense.structures import Detections, ImageSize
from mnv2_dense.training.progress import RunProgress

CERTAIN = 20.0
"""Logit of a label map's class over the others, where a file gives the map only."""


class Scores(dict[str, tuple[float, float]]):
    """Ours and the file's, by the name of the score."""

    def lines(self) -> list[str]:
        """A table, the main score first."""
        width = max(map(len, self))
        rows = [f"{'score':<{width}}    ours    file  difference"]
        for name, (ours, theirs) in self.items():
            rows.append(f"{name:<{width}}  {ours:.4f}  {theirs:.4f}  {ours - theirs:+.4f}")
        return rows


def score_both(config: Config, task: Task, index: Index, runtime: Runtime) -> Scores:
    """Evaluates both on one set by one protocol; the task keeps the runtime in its place.

    Args:
        config: Of the evaluation.
        task: Ours, with its weights.
        index: The validation set.
        runtime: The file.
    """
    ours = measure(config, task, index)
    put_in_place(task, runtime, index)
    theirs = measure(config, task, index)
    return Scores({name: (value, theirs[name]) for name, value in ours.items()})


def measure(config: Config, task: Task, index: Index) -> dict[str, float]:
    """A task's scores on a set."""
    trainer = pl.Trainer(
        **trainer_options(config),
        logger=False,
        enable_checkpointing=False,
        callbacks=[RunProgress()],
    )
    trainer.validate(task, datamodule=build_data(config, None, index), verbose=False)
    return dict(task.scores.summary)


def put_in_place(task: Task, runtime: Runtime, index: Index) -> None:
    """Gives a task the runtime for its network, and for its decoding of boxes."""
    if isinstance(task, DetectionTask):
        file = FileBoxes(runtime.graph, index.categories)
        example = torch.zeros(1, 3, *runtime.size, device=task.device)
        with torch.inference_mode():
            outputs = task.network.eval()(example)
        boxes = _Boxes()
        task.network = _RuntimeDetector(runtime, file, outputs, boxes)
        task.decoder = boxes  # pyrefly: ignore[bad-assignment]
    else:
        task.network = _RuntimeSegmenter(runtime, len(index.categories))
        task.other_stride = None


class _RuntimeSegmenter(nn.Module):
    """The file as a `Segmenter`; a label map stands for logits where it gives no others."""

    def __init__(self, runtime: Runtime, classes: int) -> None:
        super().__init__()
        self.runtime = runtime
        self.classes = classes
        self.logits = logits_of(runtime.graph)

    def forward(self, images: Tensor) -> SegmenterOutputs:
        logits = [self._run(image) for image in _pictures(images)]
        return SegmenterOutputs(torch.cat(logits).to(images.device))

    def _run(self, picture: np.ndarray) -> Tensor:
        self.runtime.feed(picture)
        (output,) = self.runtime.graph.outputs[:1]
        values = torch.from_numpy(self.runtime.tensor(output))
        if self.logits != output:
            labels = values.reshape(1, *self.runtime.size).long()
            values = F.one_hot(labels, self.classes) * CERTAIN
        return values.permute(0, 3, 1, 2)


class _Boxes(nn.Module):
    """Stands for the decoder: gives the boxes that the file has found, in original pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Detections] = []

    def forward(self, _outputs: DetectorOutputs, sizes: Sequence[ImageSize]) -> list[Detections]:
        return [_to_pixels(each, size) for each, size in zip(self.found, sizes, strict=True)]


class _RuntimeDetector(nn.Module):
    """The file as a `Detector`: its boxes go to `boxes`, its outputs are of the right shape only.

    The loss of such outputs means nothing; nothing of it is shown.
    """

    def __init__(
        self, runtime: Runtime, file: FileBoxes, outputs: DetectorOutputs, boxes: _Boxes
    ) -> None:
        super().__init__()
        self.runtime, self.file, self.boxes = runtime, file, boxes
        self.shapes = [tensor.shape[1:] for tensor in outputs[:2]]
        self.anchors: Tensor = outputs.anchors

    def forward(self, images: Tensor) -> DetectorOutputs:
        self.boxes.found = [self._run(picture) for picture in _pictures(images)]
        logits, deltas = (images.new_zeros(len(images), *shape) for shape in self.shapes)
        return DetectorOutputs(logits, deltas, self.anchors.clone())

    def _run(self, picture: np.ndarray) -> Detections:
        self.runtime.feed(picture)
        return self.file.detections(self.runtime, ImageSize(1, 1))


def _pictures(images: Tensor) -> list[np.ndarray]:
    """Normalised images [B, 3, H, W] as pictures [H, W, 3]."""
    return list(images.permute(0, 2, 3, 1).cpu().float().numpy())


def _to_pixels(found: Detections, size: ImageSize) -> Detections:
    scale = found.boxes.new_tensor([size.width, size.height, size.width, size.height])
    return found._replace(boxes=found.boxes * scale)
