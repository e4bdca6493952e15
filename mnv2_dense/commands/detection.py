"""A detector as the commands show it: boxes."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_convert
from typing_extensions import override

from mnv2_dense.coco_evaluation.files import write_results
from mnv2_dense.coco_evaluation.records import Results
from mnv2_dense.commands.column import Column, to_picture
from mnv2_dense.detection.data import DetectionDataset, join_targets
from mnv2_dense.detection.draw import draw_detections, draw_targets
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.scoring import per_class_table, summary_table
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.detection.transforms import EvalTransform, Transformed
from mnv2_dense.drawing import SHEET_SIDES, Picture, enlarge, shrink, side_by_side
from mnv2_dense.error_analysis.tables import format_line
from mnv2_dense.structures import (
    BoxTargets,
    Category,
    DetectionBatch,
    Detections,
    DetectionSample,
    ImageSize,
    SampleKey,
)
from mnv2_dense.training.runs import write_json

PICTURE_THRESHOLD = 0.3
"""Score from which a detection is drawn beside the ground truth."""


class DetectionColumn(Column):
    """See `Column`."""

    task: DetectionTask

    @override
    def describe_split(self, index: DetectionIndex) -> str:
        return f"{len(index)} images, {index.boxes.shape[0]} boxes"

    @override
    def describe_batch(self, batch: DetectionBatch) -> str:
        return f"{len(batch.targets.labels)} boxes"

    @override
    def tables(self) -> list[str]:
        assert self.task.errors is not None, "nothing was kept"
        scores = self.task.scores
        return [per_class_table(scores), summary_table(scores), format_line(self.task.errors)]

    @override
    def write_results(self, out: Path) -> list[Path]:
        path, truth = out / "detections.json", out / "ground_truth.json"
        errors = out / "errors.json"
        assert self.task.results is not None, "nothing was kept"
        assert self.task.errors is not None, "nothing was kept"
        write_results(self.task.results, path)
        write_json(errors, self.task.errors.as_dict())
        metric = self.task.metric
        if self.task.card["config"]["data"]["format"] == "coco" or metric is None:
            return [path, errors]
        # Other formats have no ids: this file says which picture an id of the results stands for.
        assert isinstance(metric, CocoDetectionMetric)
        truth.write_text(json.dumps(metric.read_ground_truth()) + "\n")
        return [path, errors, truth]

    @override
    def draw_pair(self, index: DetectionIndex, position: int) -> tuple[str, Picture]:
        image_id = index.image_id(position)
        assert self.task.results is not None, "nothing was kept"
        found = detections_of(self.task.results, image_id, index.categories)
        image, factor = enlarge(index.image(position))
        targets = index.targets(position)
        left = draw_targets(image, BoxTargets(targets.boxes * factor, targets.labels), self.names)
        enlarged = Detections(found.boxes * factor, found.scores, found.labels)
        right = draw_detections(image, enlarged, self.names, PICTURE_THRESHOLD)
        return str(image_id), side_by_side(left, right)

    @override
    def see(self, image: np.ndarray) -> Detections:
        size = ImageSize(*image.shape[:2])
        transform = EvalTransform(self.size, self.task.card["config"]["input"]["resize"])
        resized = transform(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))[0]
        images = torch.from_numpy(resized).permute(2, 0, 1).unsqueeze(0)
        batch = DetectionBatch(images, join_targets([]), [0], [size])
        with torch.inference_mode():
            return self.task.predict_step(batch, 0)[0]

    @override
    @staticmethod
    def draw_sample(sample: DetectionSample, names: Sequence[str]) -> tuple[str, Picture]:
        boxes, labels = sample.targets
        counts = Counter(names[label] for label in labels.tolist())
        classes = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        smallest, largest = SHEET_SIDES
        shrunk, divisor = shrink(to_picture(sample.image), largest)
        image, factor = enlarge(shrunk, smallest)
        targets = BoxTargets(boxes * factor / divisor, labels)
        words = f"boxes: {classes}" if classes else "no boxes"
        return words, draw_targets(image, targets, names)

    @override
    @staticmethod
    def stored_sample(index: DetectionIndex, position: int) -> DetectionSample:
        return DetectionDataset(index, _leave)[SampleKey(position, 0)]


def _leave(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, seed: int) -> Transformed:
    return image, boxes, labels


def detections_of(results: Results, image_id: int, categories: Sequence[Category]) -> Detections:
    """The detections of one image out of COCO results."""
    labels = {category.category_id: label for label, category in enumerate(categories)}
    own = Results(*(column[results.images == image_id] for column in results))
    return Detections(
        box_convert(torch.from_numpy(own.boxes).float(), "xywh", "xyxy"),
        torch.from_numpy(own.scores).float(),
        torch.tensor([labels[number] for number in own.labels.tolist()], dtype=torch.int64),
    )
