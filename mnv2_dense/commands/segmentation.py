"""A segmenter as the commands show it: label maps."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from typing_extensions import override

from mnv2_dense.commands.column import Column, to_picture
from mnv2_dense.drawing import (
    SHEET_SIDES,
    Picture,
    enlarge,
    hatch,
    shrink,
    side_by_side,
)
from mnv2_dense.segmentation.data import SegmentationDataset
from mnv2_dense.segmentation.draw import class_shares, draw_label_map
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.scoring import (
    UNDEFINED,
    draw_confusion_matrix,
    per_class_table,
    summary_table,
)
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.segmentation.transforms import EvalTransform
from mnv2_dense.structures import (
    IGNORE_INDEX,
    ImageSize,
    SampleKey,
    SegmentationBatch,
    SegmentationSample,
)

PICTURE_SCORES = "picture_scores.csv"
"""The mIoU of every picture by itself, and how many classes its ground truth has."""


class SegmentationColumn(Column):
    """See `Column`."""

    task: SegmentationTask

    @override
    def describe_split(self, index: SegmentationIndex) -> str:
        return f"{len(index)} images"

    @override
    def describe_batch(self, batch: SegmentationBatch) -> str:
        return f"{(batch.label_maps == IGNORE_INDEX).double().mean():.0%} void"

    @override
    def tables(self) -> list[str]:
        return [per_class_table(self.task.scores), summary_table(self.task.scores)]

    @override
    def write_results(self, out: Path) -> list[Path]:
        scores = self.task.scores
        table, picture = out / "confusion_matrix.csv", out / "confusion_matrix.png"
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["true class", *self.names])
            for name, row in zip(self.names, scores.confusion_matrix.tolist(), strict=True):
                writer.writerow([name, *row])
        Image.fromarray(draw_confusion_matrix(scores)).save(picture)
        return [table, picture, *self._write_pictures(out / PICTURE_SCORES)]

    def _write_pictures(self, path: Path) -> list[Path]:
        """Writes the score of every picture, where they were kept."""
        kept = self.task.picture_scores
        if kept is None:
            return []
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(["picture", "mIoU", "classes"])
            for name, score in sorted(kept.scores.items()):
                shown = "" if score == UNDEFINED else score
                writer.writerow([name, shown, kept.classes[name]])
        return [path]

    @override
    def draw_pair(self, index: SegmentationIndex, position: int) -> tuple[str, Picture]:
        image = index.image(position)
        maps = (index.label_map(position), self.see(image))
        enlarged, factor = enlarge(image)
        drawn = [
            draw_label_map(enlarged, label_map.repeat(factor, 0).repeat(factor, 1), self.names)
            for label_map in maps
        ]
        return index.image_id(position), side_by_side(*drawn)

    @override
    def see(self, image: np.ndarray) -> np.ndarray:
        """The label map [H, W] of an image [H, W, 3]."""
        images = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).to(self.task.device)
        size = ImageSize(*image.shape[:2])
        batch = SegmentationBatch(images, images[:, 0], [size], [""])
        self.task.eval()
        with torch.inference_mode():
            return self.task.predict_step(batch, 0)[0].cpu().numpy()

    @override
    @staticmethod
    def draw_sample(sample: SegmentationSample, names: Sequence[str]) -> tuple[str, Picture]:
        whole = sample.label_map.numpy()
        shares = [f"{name} {share:.1%}" for name, share in class_shares(whole, names).items()]
        void = f"{(whole == IGNORE_INDEX).mean():.1%} void"
        picture, divisor = shrink(to_picture(sample.image), SHEET_SIDES[1])
        image, factor = enlarge(picture, SHEET_SIDES[0])
        shown = whole[::divisor, ::divisor].repeat(factor, 0).repeat(factor, 1)
        hatched = hatch(image, shown == IGNORE_INDEX)
        return ", ".join([*shares, void]), draw_label_map(hatched, shown, names)

    @override
    @staticmethod
    def stored_sample(index: SegmentationIndex, position: int) -> SegmentationSample:
        return SegmentationDataset(index, EvalTransform())[SampleKey(position, 0)]
