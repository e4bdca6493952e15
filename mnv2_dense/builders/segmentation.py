"""A segmenter and its data, out of a config."""

from collections.abc import Sequence

import torch

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.builders import segmentation_data
from mnv2_dense.builders.backbones import build_backbone, default_taps
from mnv2_dense.builders.parts import (
    augmentation_options,
    input_size,
    left_to_device,
    loader_options,
    task_options,
)
from mnv2_dense.builders.segmentation_data import class_names, settle_classes
from mnv2_dense.builders.segmentation_heads import build_heads
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.data import SegmentationDataset, collate
from mnv2_dense.segmentation.decode import Decoder
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.loss import SegmentationLoss
from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.segmentation.network import OtherStride, Segmenter
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.segmentation.transforms import EvalTransform, TrainTransform
from mnv2_dense.structures import Category
from mnv2_dense.training.datamodule import DataModule


def build_network(
    config: SegmentationConfig, num_classes: int, output_stride: int | None = None
) -> Segmenter:
    """The segmenter with random weights; `num_classes` counts the background.

    Args:
        config: What to build.
        num_classes: Length of the logits.
        output_stride: Of the backbone; None takes the config's.

    Raises:
        UserError: The backbone has no such tap, or the taps do not fit the head.
    """
    backbone = _build_backbone(config, output_stride)
    main, auxiliary = build_heads(config, backbone.specs, num_classes)
    return Segmenter(backbone, main, auxiliary)


def _build_backbone(config: SegmentationConfig, output_stride: int | None = None) -> Backbone:
    key = "head.tap" if config.head.low_level_tap is None else "head.tap or head.low_level_tap"
    return build_backbone(config.backbone, choose_taps(config), output_stride, tap_key=key)


def choose_taps(config: SegmentationConfig) -> list[str]:
    """The maps that the heads read: the config's, or the backbone's own.

    First the head's, then Lite R-ASPP's finer one, and last the auxiliary head's.
    """
    head, backbone = config.head, config.backbone
    # Only what is asked for: a model of timm may lack a map that no head here reads.
    taps = [head.tap or default_taps(backbone).segmentation]
    if head.name == "lr_aspp":
        taps.append(head.low_level_tap or default_taps(backbone).low_level)
    return [*taps, default_taps(backbone).auxiliary] if head.auxiliary else taps


def coarsest_stride(config: SegmentationConfig) -> int:
    """Input pixels per cell of the coarsest map that a head reads."""
    with torch.device("meta"):
        specs = _build_backbone(config).specs
    return max(spec.stride for spec in specs)


def build_other_stride(config: SegmentationConfig, num_classes: int) -> OtherStride | None:
    """The network at evaluation's output stride, or None where that is training's."""
    stride = config.evaluation.output_stride
    if stride is None or stride == config.backbone.output_stride:
        return None
    with torch.device("meta"):
        return OtherStride(build_network(config, num_classes, stride))


def build_inference(config: SegmentationConfig) -> Inference:
    """Pictures to class probabilities, as the `evaluation` section says."""
    evaluation, align_corners = config.evaluation, config.head.align_corners
    return Inference(
        Decoder(align_corners=align_corners),
        window=input_size(config),
        scales=evaluation.scales,
        flip=evaluation.flip,
        overlap=evaluation.window_overlap,
        large_pictures=evaluation.large_pictures,
        align_corners=align_corners,
    )


def build_loss(config: SegmentationConfig) -> SegmentationLoss:
    """The training loss."""
    return SegmentationLoss(**config.loss.model_dump(), align_corners=config.head.align_corners)


def build_task(config: SegmentationConfig, categories: Sequence[Category]) -> SegmentationTask:
    """The Lightning module with random weights, not compiled.

    Args:
        config: What to build.
        categories: The classes in label order.
    """
    network = build_network(config, len(categories))
    return SegmentationTask(
        network,
        loss=build_loss(config),
        inference=build_inference(config),
        metric=SegmentationMetric(tuple(categories)),
        other_stride=build_other_stride(config, len(categories)),
        **task_options(config, categories),
    )


def read_categories(config: SegmentationConfig) -> tuple[Category, ...]:
    """The classes that the config names, or numbered ones, else those of its data.

    Raises:
        UserError: Neither the config nor the data say what classes there are.
    """
    names = class_names(settle_classes(config.data))
    return tuple(Category(value, name) for value, name in enumerate(names))


def count_classes(config: SegmentationConfig) -> int:
    """Number of classes, background included.

    Raises:
        UserError: Neither the config nor the data say it.
    """
    try:
        return len(read_categories(config))
    except UserError as error:
        raise UserError(
            f"there are no training masks to count the classes ({error}); give data.num_classes=N"
        ) from error


def read_split(config: SegmentationConfig, split: str) -> SegmentationIndex:
    """The pictures and label maps of a split; see `segmentation_data.read_split`."""
    return segmentation_data.read_split(config.data, split)


def build_data(
    config: SegmentationConfig, train: SegmentationIndex | None, val: SegmentationIndex
) -> DataModule:
    """Loaders over both splits; without `train`, for evaluation only."""
    seed = config.training.seed
    augment = TrainTransform(
        input_size(config), mean=config.input.mean, **augmentation_options(config)
    )
    colours = left_to_device(config)
    return DataModule(
        train_dataset=None if train is None else SegmentationDataset(train, augment, seed, colours),
        val_dataset=SegmentationDataset(val, EvalTransform(), seed),
        collate=collate,
        skip_bad=config.data.on_bad_image == "skip",
        **loader_options(config),
    )
