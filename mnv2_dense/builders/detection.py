"""A detector and its data, out of a config."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from mnv2_dense.builders import detection_data
from mnv2_dense.builders.backbones import build_backbone, default_taps, norm_options
from mnv2_dense.builders.detection_data import read_boxes, read_truth
from mnv2_dense.builders.parts import (
    augmentation_options,
    input_size,
    left_to_device,
    loader_options,
    task_options,
)
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.data import DetectionDataset, collate
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.loss import SSDLoss
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.network import Detector
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.detection.transforms import EvalTransform, TrainTransform
from mnv2_dense.errors import UserError
from mnv2_dense.shapes.outlines import SHAPE_CLASSES
from mnv2_dense.structures import Category, ImageSize
from mnv2_dense.training.datamodule import DataModule

FOCAL_PRIOR_LOGIT = -4.6
"""First class bias under focal loss: a score of 0.01 (arXiv 1708.02002, section 4.1)."""


def build_network(config: DetectionConfig, num_classes: int) -> Detector:
    """The detector with random weights; `num_classes` does not count the background.

    Raises:
        UserError: The backbone has no such tap, the taps are not given finest first, or there is
            not one anchor scale per level.
    """
    backbone = build_backbone(config.backbone, choose_taps(config))
    anchors = build_anchors(config, len(backbone.specs))
    try:
        head = SSDHead(
            backbone.specs,
            anchors.counts,
            num_classes + 1,
            extra_channels=config.head.extra_channels,
            width_mult=config.head.width_mult,
            padding=config.backbone.padding,
            class_bias=FOCAL_PRIOR_LOGIT if config.loss.classification == "focal" else 0.0,
            separable=config.head.name == "ssdlite",
            **norm_options(config.backbone),
        )
    except ValueError as error:
        raise UserError(f"head.taps: {error}") from error
    return Detector(backbone, head, anchors)


def build_anchors(config: DetectionConfig, taps: int) -> AnchorGenerator:
    """The anchors of every level: `taps` maps of the backbone, then the extra ones.

    Raises:
        UserError: `anchors.scales` does not have one scale per level.
    """
    extra = len(config.head.extra_channels)
    try:
        return AnchorGenerator(taps + extra, **config.anchors.model_dump())
    except ValueError as error:
        raise UserError(
            f"anchors.scales: {error} ({taps} taps and {extra} of head.extra_channels); give one "
            "scale per level, finest first, or null"
        ) from error


def trace_levels(config: DetectionConfig) -> tuple[list[ImageSize], AnchorGenerator]:
    """Cells of every map that predicts, at the config's input, and its anchors; without weights.

    Raises:
        UserError: See `build_network`.
    """
    with torch.device("meta"), torch.no_grad():
        network = build_network(config, num_classes=1).eval()
        image = torch.zeros(1, 3, *input_size(config))
        cells = network.head(network.backbone(image)).feature_sizes
    return cells, network.anchor_generator


def choose_taps(config: DetectionConfig) -> Sequence[str]:
    """The maps that predict: the config's, or the backbone's own."""
    return config.head.taps or default_taps(config.backbone).detection


def coarsest_stride(config: DetectionConfig) -> int:
    """Input pixels per cell of the last level."""
    with torch.device("meta"):
        last = build_backbone(config.backbone, choose_taps(config)).specs[-1]
    return last.stride * 2 ** len(config.head.extra_channels)


def build_decoder(config: DetectionConfig) -> Decoder:
    """Raw outputs to detections, as the config's loss and `decode` section say."""
    softmax = config.loss.classification == "softmax"
    return Decoder(activation="softmax" if softmax else "sigmoid", **config.decode.model_dump())


def build_loss(config: DetectionConfig) -> SSDLoss:
    """The training loss."""
    return SSDLoss(**config.loss.model_dump(), **config.matching.model_dump())


def build_metric(config: DetectionConfig, categories: Sequence[Category]) -> CocoDetectionMetric:
    """COCO's numbers over the validation set, whose truth is read when they are computed."""
    truth = partial(read_truth, config.data)
    return CocoDetectionMetric(truth, tuple(categories), backend=config.evaluation.backend)


def build_task(config: DetectionConfig, categories: Sequence[Category]) -> DetectionTask:
    """The Lightning module with random weights, not compiled.

    Args:
        config: What to build.
        categories: The classes in label order.
    """
    network = build_network(config, len(categories))
    return DetectionTask(
        network,
        loss=build_loss(config),
        decoder=build_decoder(config),
        metric=build_metric(config, categories),
        **task_options(config, categories),
    )


def read_split(config: DetectionConfig, split: str) -> DetectionIndex:
    """The images and boxes of `train` or `val`; see `detection_data.read_split`."""
    return detection_data.read_split(config.data, split)


def count_classes(config: DetectionConfig) -> int:
    """The class count that the config gives, or that of its training annotations.

    Raises:
        UserError: Neither is there.
    """
    if config.data.num_classes is not None:
        return config.data.num_classes
    if config.data.generate == "shapes" and not Path(config.data.root).exists():
        return len(SHAPE_CLASSES)
    try:
        return len(read_boxes(config.data, "train").categories)
    except UserError as error:
        raise UserError(
            f"there are no training data to count the classes ({error}); give data.num_classes=N"
        ) from error


def build_data(
    config: DetectionConfig, train: DetectionIndex | None, val: DetectionIndex
) -> DataModule:
    """Loaders over both splits; without `train`, for evaluation only.

    All has been read now: files that were kept for the next split are given back.
    """
    detection_data.forget_files()
    size, seed = input_size(config), config.training.seed
    resize = config.input.resize
    augment = TrainTransform(
        size, mean=config.input.mean, resize=resize, **augmentation_options(config)
    )
    colours = left_to_device(config)
    return DataModule(
        train_dataset=None if train is None else DetectionDataset(train, augment, seed, colours),
        val_dataset=DetectionDataset(val, EvalTransform(size, resize), seed),
        collate=collate,
        skip_bad=config.data.on_bad_image == "skip",
        **loader_options(config),
    )
