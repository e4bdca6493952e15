"""The composition root: config to objects. The only place where config meets code.

The functions here choose the task's own; what they return has the same public shape in both.
"""

from collections.abc import Callable, Sequence

from mnv2_dense.builders import detection, detection_data, segmentation, segmentation_data
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.network import Detector
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.structures import Category
from mnv2_dense.training.datamodule import DataModule

Index = DetectionIndex | SegmentationIndex
Task = DetectionTask | SegmentationTask


def build_network(config: Config, num_classes: int) -> Detector | Segmenter:
    """The network with random weights."""
    if isinstance(config, DetectionConfig):
        return detection.build_network(config, num_classes)
    return segmentation.build_network(config, num_classes)


def build_task(config: Config, categories: Sequence[Category]) -> Task:
    """The Lightning module; see the task's own `build_task`."""
    if isinstance(config, DetectionConfig):
        return detection.build_task(config, categories)
    return segmentation.build_task(config, categories)


def settle_classes(config: Config, tell: Callable[[str], object] | None = None) -> Config:
    """The config with the classes of its data, where it gives none: a run must keep the list.

    Args:
        config: Whose data are looked at.
        tell: Is given a line where the classes found are doubtful.

    Raises:
        UserError: The data do not say what classes they have, or others than `loss` does.
    """
    if isinstance(config, DetectionConfig):
        data = detection_data.settle_classes(config.data)
    else:
        data = segmentation_data.settle_classes(config.data, tell)
    if data is config.data:
        return config
    settled = config.model_copy(update={"data": data})
    return parse_config(settled.model_dump(mode="json"), name="config")


def read_split(config: Config, split: str) -> Index:
    """The pictures and ground truth of `train` or `val`."""
    if isinstance(config, DetectionConfig):
        return detection.read_split(config, split)
    return segmentation.read_split(config, split)


def count_classes(config: Config) -> int:
    """Number of classes, as the config's `num_classes` counts them."""
    if isinstance(config, DetectionConfig):
        return detection.count_classes(config)
    return segmentation.count_classes(config)


def coarsest_stride(config: Config) -> int:
    """Input pixels per cell of the coarsest map that has a batch norm."""
    if isinstance(config, DetectionConfig):
        return detection.coarsest_stride(config)
    return segmentation.coarsest_stride(config)


def build_data(config: Config, train: Index | None, val: Index) -> DataModule:
    """Loaders over both splits; without `train`, for evaluation only."""
    if isinstance(config, DetectionConfig):
        assert isinstance(val, DetectionIndex)
        assert train is None or isinstance(train, DetectionIndex)
        return detection.build_data(config, train, val)
    assert isinstance(val, SegmentationIndex)
    assert train is None or isinstance(train, SegmentationIndex)
    return segmentation.build_data(config, train, val)
