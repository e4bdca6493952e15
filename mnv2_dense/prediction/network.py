"""Networks as they are deployed: pictures in, scores and boxes or class logits out."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from mnv2_dense.builders import Task
from mnv2_dense.builders.parts import checkpoint_card, input_size
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.ops.folding import fold_norms
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.segmentation.network import OtherStride, Segmenter
from mnv2_dense.structures import Category


class ScoredBoxes(NamedTuple):
    """What an exported detector decodes: every anchor, before threshold and NMS.

    scores [B, A, C] without the background. boxes [B, A, 4] xyxy in shares of the picture, not
    clipped.
    """

    scores: Tensor
    boxes: Tensor


class DeployedDetector(nn.Module):
    """uint8 pictures of the input's size to scores and boxes, with norms folded.

    Args:
        network: Normalised images to `DetectorOutputs`.
        mean: Subtracted from RGB values 0-255.
        std: Divides them after that.
        activation: Over the class slots.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        activation: Literal["softmax", "sigmoid"],
    ) -> None:
        super().__init__()
        self.network = network
        self.activation = activation
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def outputs(self, images: Tensor) -> DetectorOutputs:
        """Raw outputs for images [B, H, W, 3] uint8 RGB."""
        return self.network(_normalize(images, self.mean, self.std))

    def forward(self, images: Tensor) -> ScoredBoxes:
        """Scores and boxes for images [B, H, W, 3] uint8 RGB."""
        class_logits, box_deltas, anchors = self.outputs(images)
        softmax = self.activation == "softmax"
        scores = class_logits.softmax(dim=-1) if softmax else class_logits.sigmoid()
        return ScoredBoxes(scores[..., 1:], center_to_corner(decode_boxes(box_deltas, anchors)))


class DeployedSegmenter(nn.Module):
    """uint8 pictures to class logits in cells of the head's map, with norms folded.

    Args:
        network: Normalised images to `SegmenterOutputs`, in evaluation.
        mean: Subtracted from RGB values 0-255.
        std: Divides them after that.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, C, h, w] for images [B, H, W, 3] uint8 RGB."""
        return self.network(_normalize(images, self.mean, self.std)).class_logits


Deployed = DeployedDetector | DeployedSegmenter


def _normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    # Pictures come channels last: as a view they are so for the convolutions, too.
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def deploy(task: Task) -> Deployed:
    """The network of a task, at evaluation's output stride, for pictures as they come."""
    mean, std = task.mean.flatten().tolist(), task.std.flatten().tolist()
    if isinstance(task, DetectionTask):
        return DeployedDetector(fold_norms(task.network), mean, std, task.decoder.activation).eval()
    network = task.network
    assert isinstance(network, Segmenter)
    if task.other_stride is not None:
        network = _at_stride(task.other_stride, network)
    return DeployedSegmenter(fold_norms(network), mean, std).eval()


def _at_stride(other: OtherStride, network: Segmenter) -> nn.Module:
    structure = other.structure.to_empty(device="cpu")
    structure.load_state_dict(network.state_dict())
    return structure


def describe(
    config: Config,
    categories: Sequence[Category],
    *,
    precision: Literal["float32", "int8"] = "float32",
    batch: int | None = None,
    dynamic_size: bool = True,
    licence: str | None = None,
) -> Manifest:
    """What a deployed network says of itself; see `Manifest`."""
    detects = isinstance(config, DetectionConfig)
    card = checkpoint_card(config, categories)
    return Manifest(
        task=config.task,
        categories=tuple(categories),
        input_size=input_size(config),
        resize=config.input.resize if detects else "bilinear",
        mean=config.input.mean,
        std=config.input.std,
        decoding=config.decode.model_dump()
        if detects
        else {
            "align_corners": config.head.align_corners,
            "large_pictures": config.evaluation.large_pictures,
            "window_overlap": config.evaluation.window_overlap,
        },
        precision=precision,
        batch=batch,
        dynamic_size=dynamic_size,
        config=card["config"],
        version=card["version"],
        licence=licence,
    )
