"""A joint network as the commands show it: boxes and label maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from mnv2_dense.builders.joint import JointIndex, split_categories
from mnv2_dense.builders.parts import input_size
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.detection import PICTURE_THRESHOLD, DetectionColumn
from mnv2_dense.commands.measured import Measured
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.config.schema import JointConfig
from mnv2_dense.detection.draw import draw_detections, draw_targets
from mnv2_dense.drawing import Picture, enlarge, side_by_side
from mnv2_dense.joint.task import JointBatch, JointPrediction, JointTask
from mnv2_dense.prediction.joint import see_picture
from mnv2_dense.segmentation.draw import tint
from mnv2_dense.structures import BoxTargets, Category, DetectionBatch, Detections


class JointColumn(Column):
    """See `Column`; what is of one task alone is left to its own column.

    Args:
        config: Of the network, its classes settled.
        task: The Lightning module.
        categories: The detector's classes, then the segmenter's.
    """

    task: JointTask

    def __init__(
        self, config: JointConfig, task: JointTask, categories: Sequence[Category]
    ) -> None:
        super().__init__(task, categories, input_size(config))
        self.config = config
        self.boxed, self.masked = split_categories(config, categories)

    @property
    def detection(self) -> DetectionColumn:
        """The detector, with what the last evaluation left of it."""
        metric = self.task.metric
        assert metric is not None
        card = {"config": self.config.detector().model_dump(mode="json")}
        scores = self.task.scores and self.task.scores.detection
        measured = Measured(metric.detection, card, scores, self.task.results, self.task.errors)
        return DetectionColumn(measured, self.boxed, self.size)

    @property
    def segmentation(self) -> SegmentationColumn:
        """The segmenter, with what the last evaluation left of it."""
        metric = self.task.metric
        assert metric is not None
        scores = self.task.scores and self.task.scores.segmentation
        kept = self.task.picture_scores
        measured = Measured(metric.segmentation, {}, scores, picture_scores=kept)
        return SegmentationColumn(measured, self.masked, self.size)

    @override
    def describe_split(self, index: JointIndex) -> str:
        boxed = self.detection.describe_split(index.detection)
        return f"{boxed}; {self.segmentation.describe_split(index.segmentation)} with label maps"

    @override
    def describe_batch(self, batch: JointBatch) -> str:
        if isinstance(batch, DetectionBatch):
            return self.detection.describe_batch(batch)
        return self.segmentation.describe_batch(batch)

    @override
    def tables(self) -> list[str]:
        score = f" mean of mAP and mIoU = {self.task.scores.score:0.3f}"
        return [*self.detection.tables(), *self.segmentation.tables(), score]

    @override
    def write_results(self, out: Path) -> list[Path]:
        return [*self.detection.write_results(out), *self.segmentation.write_results(out)]

    @override
    def see(self, image: np.ndarray) -> JointPrediction:
        self.task.eval()
        return see_picture(self.task, image, self.size)

    @override
    def draw_pair(self, index: JointIndex, position: int) -> tuple[str, Picture]:
        """A picture of both sets' pictures, one after the other: what is known of it, both seen."""
        count = len(index.detection)
        if position < count:
            return self._draw_boxed(index, position)
        image = index.segmentation.image(position - count)
        label_map = index.segmentation.label_map(position - count)
        enlarged, factor = enlarge(image)
        left = tint(enlarged, _repeat(label_map, factor), self.masked_names)
        name = index.segmentation.image_id(position - count)
        return f"segmentation/{name}", side_by_side(left, self._draw_seen(image))

    def _draw_boxed(self, index: JointIndex, position: int) -> tuple[str, Picture]:
        image = index.detection.image(position)
        targets = index.detection.targets(position)
        enlarged, factor = enlarge(image)
        boxes = BoxTargets(targets.boxes * factor, targets.labels)
        left = draw_targets(enlarged, boxes, self.boxed_names)
        name = index.detection.image_id(position)
        return f"detection/{name}", side_by_side(left, self._draw_seen(image))

    def _draw_seen(self, image: np.ndarray) -> Picture:
        """Label map and boxes on the picture, as large as it is shown."""
        seen = self.see(image)
        enlarged, factor = enlarge(image)
        tinted = tint(enlarged, _repeat(seen.label_map.numpy(), factor), self.masked_names)
        boxes, scores, labels = seen.detections
        found = Detections(boxes * factor, scores, labels)
        return draw_detections(tinted, found, self.boxed_names, PICTURE_THRESHOLD)

    @property
    def boxed_names(self) -> list[str]:
        """The detector's classes in label order."""
        return [category.name for category in self.boxed]

    @property
    def masked_names(self) -> list[str]:
        """The segmenter's classes in label order."""
        return [category.name for category in self.masked]

    @override
    @staticmethod
    def draw_sample(sample: Any, names: Sequence[str]) -> tuple[str, Picture]:
        raise NotImplementedError("a sample is of one column")

    @override
    @staticmethod
    def stored_sample(index: Any, position: int) -> Any:
        raise NotImplementedError("a sample is of one column")


def _repeat(label_map: np.ndarray, factor: int) -> np.ndarray:
    return label_map.repeat(factor, 0).repeat(factor, 1)
