"""Detectors and segmenters in a prediction job: what is drawn and noted of what they see."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from typing_extensions import override

from mnv2_dense.commands.prediction_kinds import (
    Failed,
    Prediction,
    Recorder,
    Source,
    attempt,
    counted,
)
from mnv2_dense.commands.prediction_options import Options
from mnv2_dense.commands.whole_file import save_picture
from mnv2_dense.drawing import encode_label_map
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.loading import Opening
from mnv2_dense.prediction.predictor import Failure, Predictor
from mnv2_dense.prediction.results import DetectionResult, SegmentationResult
from mnv2_dense.prediction.sources import Item


class ModelRecorder(Recorder):
    """A network run by an engine.

    Args:
        model: Shows it pictures.
        score_threshold: Of a detector: lowest score of a box.
        batch: Pictures that it is shown together.
        drawings: Whether pictures are written for people, too.
    """

    def __init__(
        self, model: Predictor, score_threshold: float, batch: int = 1, *, drawings: bool = True
    ) -> None:
        self.model = model
        self.drawings = drawings
        self.result_folders = self.folders_with(drawings=drawings)
        self.score_threshold = score_threshold
        self.batch = min(batch, model.manifest.batch or batch)
        self.engine = model.engine.name
        self.threads = model.stream_threads

    @override
    def predict(self, source: Source, out: Path) -> Prediction:
        (found,) = self.predict_together([source], out)
        if isinstance(found, Exception):
            raise found
        return found

    @override
    def predict_together(self, sources: Sequence[Source], out: Path) -> list[Prediction | Failed]:
        items = [Item(str(source.path)) for source in sources]
        found = self.model.see_together(items, self.score_threshold)
        return [
            UserError(result.message)
            if isinstance(result, Failure)
            else attempt(partial(self.write, result, source, out))
            for source, result in zip(sources, found, strict=True)
        ]

    @staticmethod
    @abstractmethod
    def folders_with(*, drawings: bool) -> tuple[str, ...]:
        """The folders of what is written, with pictures for people or without."""

    @abstractmethod
    def write(self, result: Any, source: Source, out: Path) -> Prediction:
        """Draws what is seen in a picture, where that is asked for, and notes it."""


class DetectorRecorder(ModelRecorder):
    """Draws boxes and notes COCO results."""

    records_name = "detections.json"

    @staticmethod
    @override
    def folders_with(*, drawings: bool) -> tuple[str, ...]:
        return ("",) * drawings

    @override
    def write(self, result: DetectionResult, source: Source, out: Path) -> Prediction:
        found = result.to_coco(source.number)
        records = [{**each, "file_name": source.path.name} for each in found]
        words = counted(len(records), "box", "boxes")
        if not self.drawings:
            return Prediction(words, records)
        target = out / f"{source.name}.png"
        save_picture(Image.fromarray(result.draw()), target)
        return Prediction(f"{words} -> {target}", records)


class SegmenterRecorder(ModelRecorder):
    """Writes label maps and overlays, and notes the shares of the classes."""

    records_name = "shares.json"

    @staticmethod
    @override
    def folders_with(*, drawings: bool) -> tuple[str, ...]:
        return label_map_folders(drawings=drawings)

    @override
    def write(self, result: SegmentationResult, source: Source, out: Path) -> Prediction:
        return write_label_map(result, source, out, drawings=self.drawings)


def open_model(opening: Opening, options: Options) -> ModelRecorder:
    """The network as a job takes it, by its task.

    Raises:
        UserError: It cannot be opened, or is not asked for what its task gives.
    """
    model = opening.open(options.threads)
    options.check_task(model.manifest.task)
    detects = model.manifest.task == "detection"
    kind = DetectorRecorder if detects else SegmenterRecorder
    return kind(model, options.lowest_score, options.batch, drawings=options.drawings)


def label_map_folders(*, drawings: bool) -> tuple[str, ...]:
    """Where the label maps are, and how they lie on the pictures if that is drawn."""
    return ("label_maps", *["overlays"] * drawings)


def write_label_map(
    result: SegmentationResult, source: Source, out: Path, *, drawings: bool
) -> Prediction:
    """Writes the label map of a picture, draws how it lies on it, and notes its shares."""
    target = out / "label_maps" / f"{source.name}.png"
    save_picture(encode_label_map(result.label_map), target)
    if drawings:
        overlay = Image.fromarray(result.draw())
        save_picture(overlay, out / "overlays" / f"{source.name}.png")
    shares = result.shares
    record = {
        "file_name": str(source.path),
        "label_map": str(target.relative_to(out)),
        "width": result.size.width,
        "height": result.size.height,
        "shares": shares,
    }
    return Prediction(f"{', '.join(list(shares)[:3])} -> {target}", [record])
