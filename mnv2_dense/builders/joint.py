"""A joint network and its two data sets, out of a config: what the columns' builders build."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from mnv2_dense.builders import detection, detection_data, segmentation, segmentation_data
from mnv2_dense.builders.backbones import build_backbone
from mnv2_dense.builders.parts import input_size, task_options
from mnv2_dense.config.joint import DetectionPart
from mnv2_dense.config.schema import JointConfig
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.errors import UserError
from mnv2_dense.joint.data import JointDataModule
from mnv2_dense.joint.inference import WholePictures
from mnv2_dense.joint.metrics import JointMetric
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.joint.task import JointTask
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.structures import Category

_KEY = re.compile(rf"(?<![\w./-])({'|'.join(DetectionPart.model_fields)})\.(?=[a-z_]+\b)")
"""The beginning of a key of a section that both tasks have, each its own; not of a file's name."""


@contextmanager
def part(name: str) -> Iterator[None]:
    """Says of which part of a joint config's keys an error speaks.

    Raises:
        UserError: One was raised within; its message now begins with the part, and the keys in it
            are the joint config's.
    """
    try:
        yield
    except UserError as error:
        message = _KEY.sub(lambda key: f"{name}.{key[0]}", str(error))
        raise UserError(f"{name}: {message}") from error


@dataclass(frozen=True)
class JointIndex:
    """The pictures and ground truth of both data sets in one split."""

    detection: DetectionIndex
    segmentation: SegmentationIndex

    @property
    def categories(self) -> tuple[Category, ...]:
        """The detector's classes, then the segmenter's."""
        return (*self.detection.categories, *self.segmentation.categories)

    def __len__(self) -> int:
        """Pictures of both."""
        return len(self.detection) + len(self.segmentation)


def split_categories(
    config: JointConfig, categories: Sequence[Category]
) -> tuple[list[Category], list[Category]]:
    """The classes of both heads out of one list.

    Args:
        config: Its segmenter's classes are settled.
        categories: The detector's, then the segmenter's, as a checkpoint has them.
    """
    own = len(segmentation_data.class_names(config.segmentation.data))
    return list(categories[:-own]), list(categories[-own:])


def build_network(config: JointConfig, num_boxed: int, num_masked: int) -> JointNetwork:
    """The network with random weights.

    The columns' builders make the heads; of both networks' maps one backbone gives all.

    Args:
        config: What to build.
        num_boxed: Classes of the detector, without background.
        num_masked: Classes of the segmenter, background included.

    Raises:
        UserError: A column's network cannot be built.
    """
    with part("detection"):
        detector = detection.build_network(config.detector(), num_boxed)
    with part("segmentation"):
        segmenter = segmentation.build_network(config.segmenter(), num_masked)
    return JointNetwork(
        build_backbone(config.backbone, choose_taps(config)),
        detector.head,
        detector.anchor_generator,
        segmenter.head,
        segmenter.auxiliary_head,
    )


def choose_taps(config: JointConfig) -> list[str]:
    """The maps that both heads read, each once: the detector's, then what else there is."""
    boxed = detection.choose_taps(config.detector())
    return list(dict.fromkeys([*boxed, *segmentation.choose_taps(config.segmenter())]))


def build_task(config: JointConfig, categories: Sequence[Category]) -> JointTask:
    """The Lightning module with random weights, not compiled.

    Args:
        config: What to build, its classes settled.
        categories: The detector's classes, then the segmenter's, each in label order.
    """
    boxed, masked = split_categories(config, categories)
    detector, segmenter = config.detector(), config.segmenter()
    return JointTask(
        build_network(config, len(boxed), len(masked)),
        detection_loss=detection.build_loss(detector),
        segmentation_loss=segmentation.build_loss(segmenter),
        segmentation_weight=config.joint.segmentation_weight,
        decoder=detection.build_decoder(detector),
        inference=WholePictures(
            input_size(config), align_corners=config.segmentation.head.align_corners
        ),
        metric=JointMetric(
            detection.build_metric(detector, boxed), SegmentationMetric(tuple(masked))
        ),
        **task_options(config, categories),
    )


def settle_classes(config: JointConfig, tell: Callable[[str], object] | None = None) -> JointConfig:
    """The config with the classes of its data; see `builders.settle_classes`."""
    with part("detection"):
        boxed = detection_data.settle_classes(config.detection.data)
    with part("segmentation"):
        masked = segmentation_data.settle_classes(config.segmentation.data, tell)
    values: dict[str, Any] = config.model_dump(mode="json")
    values["detection"]["data"] = boxed.model_dump(mode="json")
    values["segmentation"]["data"] = masked.model_dump(mode="json")
    return JointConfig.model_validate(values)


def read_split(config: JointConfig, split: str) -> JointIndex:
    """The pictures and ground truth of `train` or `val` of both data sets."""
    with part("detection"):
        boxed = detection.read_split(config.detector(), split)
    with part("segmentation"):
        return JointIndex(boxed, segmentation.read_split(config.segmenter(), split))


def build_data(config: JointConfig, train: JointIndex | None, val: JointIndex) -> JointDataModule:
    """Loaders over both splits of both sets; without `train`, for evaluation only."""
    boxed, masked = (None, None) if train is None else (train.detection, train.segmentation)
    return JointDataModule(
        detection.build_data(config.detector(), boxed, val.detection),
        segmentation.build_data(config.segmenter(), masked, val.segmentation),
    )


def check_network(config: JointConfig) -> None:
    """Refuses a network that cannot be built, before data are read.

    Raises:
        UserError: It cannot be built.
    """
    with torch.device("meta"):
        build_network(config, num_boxed=2, num_masked=2)
