"""A detector's boxes beside those of a .tflite file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph, Node
from mnv2_dense.importing.ssdlite import COORDINATES, TO_OURS
from mnv2_dense.ops.boxes import clip_to_image
from mnv2_dense.parity.agreement import Agreement
from mnv2_dense.parity.answers import Answers
from mnv2_dense.parity.runtime import Runtime
from mnv2_dense.structures import Category, Detections, ImageSize

SHOWN_SCORE = 0.3
"""Score from which the file's boxes are looked for among ours."""
LOST_SHARE = 0.1
"""Largest share of a quantised file's boxes that ours may not have.

The released SSDLite's import loses 1.6 % of 1302 boxes on 60 pictures of COCO, and at most 4 of
42 on one of them.
"""
SAME_BOX = 0.5
"""Least overlap of two boxes of one class that are counted as the same."""


class Boxes(Answers):
    """A detector's codes and scores before the NMS, and its boxes after it.

    Args:
        graph: The file.
        decoder: Ours.
        categories: Ours, in label order.
    """

    def __init__(self, graph: Graph, decoder: Decoder, categories: Sequence[Category]) -> None:
        self.file = FileBoxes(graph, categories)
        self.decoder = decoder
        self.agreements = [Agreement("box codes"), Agreement("scores before the NMS")]
        self.boxes = self.found = 0
        self.score_difference = 0.0

    def update(self, name: str, outputs: DetectorOutputs, runtime: Runtime) -> None:
        """See `Answers`."""
        codes, scores = self.file.raw(runtime)
        ours = outputs.class_logits[0]
        ours = ours.softmax(-1) if self.decoder.activation == "softmax" else ours.sigmoid()
        self.agreements[0].update(outputs.box_deltas[0].numpy(), codes)
        self.agreements[1].update(ours[:, 1:].numpy(), scores)
        seen = self.decoder(outputs, [runtime.size])[0]
        self._match(seen, self.file.detections(runtime, runtime.size))

    def _match(self, ours: Detections, theirs: Detections) -> None:
        shown = theirs.scores >= SHOWN_SCORE
        overlaps = box_iou(theirs.boxes, ours.boxes)
        alike = theirs.labels[:, None] == ours.labels
        same = ((overlaps >= SAME_BOX) & alike)[shown]
        self.boxes += len(same)
        self.found += int(same.any(dim=1).sum())
        differences = (theirs.scores[shown][:, None] - ours.scores).abs()
        nearest = differences.masked_fill(~same, torch.inf)[same.any(dim=1)]
        if len(nearest):
            largest = float(nearest.min(dim=1).values.max())
            self.score_difference = max(self.score_difference, largest)

    def lines(self) -> list[str]:
        """See `Answers`."""
        return [
            f"boxes after the NMS: of the file's {self.boxes} of score >= {SHOWN_SCORE:g} ours has "
            f"{self.found} (same class, IoU >= {SAME_BOX:g}), scores within "
            f"{self.score_difference:.3f}"
        ]

    def misses(self) -> list[str]:
        """See `Answers`."""
        return [*super().misses(), *self.rounded_misses()]

    def rounded_misses(self) -> list[str]:
        """See `Answers`. One box alone says nothing: rounding moves scores and the NMS."""
        lost = self.boxes - self.found
        if lost <= max(1, LOST_SHARE * self.boxes):
            return []
        return [
            f"ours has {self.found} of the file's {self.boxes} boxes; at most {LOST_SHARE:.0%} may "
            "be lost"
        ]

    def as_dict(self) -> dict[str, Any]:
        """See `Answers`."""
        return {
            "boxes": self.boxes,
            "found": self.found,
            "score_difference": self.score_difference,
        }


class FileBoxes:
    """A file's TFLite_Detection_PostProcess: what goes in, and the boxes that come out.

    Args:
        graph: The file.
        categories: Ours, in label order; the file numbers classes by their ids.

    Raises:
        UserError: The file has no such operation.
    """

    def __init__(self, graph: Graph, categories: Sequence[Category]) -> None:
        found = [node for node in graph.nodes if node.op == "detection_post_process"]
        if len(found) != 1:
            raise UserError(
                f"{graph.source}: has no TFLite_Detection_PostProcess, so it gives no boxes to "
                "compare"
            )
        self.node = found[0]
        self.outputs = [final_of(graph, name) for name in self.node.outputs]
        self.ids = [category.category_id for category in categories]

    def raw(self, runtime: Runtime) -> tuple[np.ndarray, np.ndarray]:
        """Box codes [A, 4] in our order, and scores [A, C] of our classes."""
        codes = runtime.tensor(self.node.inputs[0]).reshape(-1, COORDINATES)
        scores = runtime.tensor(self.node.inputs[1])
        scores = scores.reshape(-1, scores.shape[-1])
        background = scores.shape[-1] - int(self.node.attributes["num_classes"])
        return codes[:, list(TO_OURS)], scores[:, np.array(self.ids) - 1 + background]

    def detections(self, runtime: Runtime, size: ImageSize) -> Detections:
        """The file's own boxes, in pixels of a picture of some size."""
        boxes, classes, scores, count = (runtime.tensor(name) for name in self.outputs)
        number = round(float(count.ravel()[0]))
        corners = torch.from_numpy(boxes.reshape(-1, COORDINATES)[:number][:, [1, 0, 3, 2]].copy())
        scale = torch.tensor([size.width, size.height, size.width, size.height])
        pixels = clip_to_image(corners * scale, size)
        labels = {category_id: label for label, category_id in enumerate(self.ids)}
        found = torch.tensor(
            [labels.get(round(float(each)) + 1, -1) for each in classes.ravel()[:number]],
            dtype=torch.int64,
        )
        values = torch.from_numpy(scores.ravel()[:number].copy())
        kept = (found >= 0) & (pixels[:, 2:] > pixels[:, :2]).all(dim=1)
        return Detections(pixels[kept], values[kept], found[kept])


def final_of(graph: Graph, name: str) -> str:
    """What the file gives out as a tensor: itself, or what it becomes by being quantised."""
    while name not in graph.outputs:
        following: Node | None = next((node for node in graph.nodes if name in node.inputs), None)
        if following is None or following.op != "identity":
            break
        name = following.outputs[0]
    return name
