"""What a page of a run shows of each task beside its scores: curves, mistakes, pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mnv2_dense.builders import read_split
from mnv2_dense.builders.detection_data import read_truth
from mnv2_dense.builders.opening import open_any_content
from mnv2_dense.coco_evaluation.files import read_ground_truth, read_results
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.records import GroundTruth, Results
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.detection import detections_of
from mnv2_dense.commands.joint import JointColumn
from mnv2_dense.commands.segmentation import PICTURE_SCORES
from mnv2_dense.config.schema import DetectionConfig, SegmentationConfig
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.texts import list_first
from mnv2_dense.reporting.findings import Findings, study
from mnv2_dense.reporting.outcomes import MATCH_IOU, f1_of
from mnv2_dense.reporting.page import Part
from mnv2_dense.reporting.pictures import Shown, show_boxes, show_label_maps
from mnv2_dense.reporting.ranking import Standing, rank
from mnv2_dense.reporting.segmentation import PictureScore, read_picture_scores
from mnv2_dense.segmentation.index import SegmentationIndex

SAME = 1e-6
"""Between a score and the same computed again."""


def add_detections(part: Part, config: DetectionConfig, folder: Path, pictures: int) -> list[str]:
    """What the detections say, and the best and the worst pictures by their F1.

    Args:
        part: Gets them.
        config: Says where the data are.
        folder: Of the evaluation.
        pictures: How many of each kind are drawn.

    Returns:
        What cannot be shown, a sentence each.
    """
    try:
        results = read_results(folder / "detections.json")
        findings = study(_read_truth(folder, config), results)
    except UserError as error:
        return [_lacking("No curves of precision, errors, confusions and pictures", part, error)]
    part.findings, part.names = findings, findings.names
    problems = _compare(part, findings)
    try:
        index = read_split(config, "val")
    except UserError as error:
        return [*problems, _lacking("No pictures", part, error)]
    assert isinstance(index, DetectionIndex)
    return [*problems, *_add_boxes(part, findings, results, index, pictures)]


def add_label_maps(
    part: Part, config: SegmentationConfig, folder: Path, checkpoint: Path | None, pictures: int
) -> list[str]:
    """The best and the worst pictures by their own mIoU.

    Args:
        part: Gets them.
        config: Says where the data are.
        folder: Of the evaluation.
        checkpoint: Whose label maps are shown.
        pictures: How many of each kind are drawn.

    Returns:
        What cannot be shown, a sentence each.
    """
    own = read_picture_scores(folder / PICTURE_SCORES)
    if own is None:
        return [f"No pictures: {folder / PICTURE_SCORES}, their scores, cannot be read."]
    if checkpoint is None:
        return ["No pictures: the best checkpoint is not in the run's folder."]
    try:
        index, see = read_split(config, "val"), _open_eyes(checkpoint)
    except UserError as error:
        return [_lacking("No pictures", part, error)]
    assert isinstance(index, SegmentationIndex)
    part.names = [category.name for category in index.categories]
    part.how = (
        "By the mIoU of a picture alone, over the classes that are in it: a class that is rare "
        "there weighs as much as any. Of equal pictures that with more classes is the better; one "
        "of a single class is among the best only where there is no other."
    )
    ids = [index.image_id(place) for place in range(len(index))]
    standings = {place: _standing(own[name]) for place, name in enumerate(ids) if name in own}

    def show(place: int) -> Shown:
        return show_label_maps(index, place, see, f"mIoU {standings[place].score:.3f}")

    return _add_pictures(part, standings, pictures, show)


def _standing(own: PictureScore) -> Standing:
    """An evaluation of an earlier version does not say how many classes there are."""
    return Standing(own.miou) if own.classes is None else Standing(own.miou, own.classes - 1)


def _read_truth(folder: Path, config: DetectionConfig) -> GroundTruth:
    """What the detections were measured against: beside them, or in the data set."""
    path = folder / "ground_truth.json"
    return read_ground_truth(path) if path.exists() else ground_truth_of(read_truth(config.data))


def _compare(part: Part, findings: Findings) -> list[str]:
    """Says where the data are not those of the evaluation any more."""
    before, now = part.metrics["mAP"], findings.evaluation.summary["mAP"]
    if abs(before - now) <= SAME or "unmeasured" in part.metrics:
        return []
    return [
        f"The ground truth or the detections have changed since the evaluation: mAP was "
        f"{before:.3f}, and is {now:.3f} by what is there now, as are the curves, errors, "
        "confusions and pictures."
    ]


def _add_boxes(
    part: Part, findings: Findings, results: Results, index: DetectionIndex, pictures: int
) -> list[str]:
    threshold = findings.threshold
    counts = findings.outcomes.by_picture(threshold)
    positions = {number: place for place, number in enumerate(index.image_ids.tolist())}
    standings = {
        image: Standing(f1, right, wrong + missed)
        for image, (right, wrong, missed) in counts.items()
        if image in positions and (f1 := f1_of(right, wrong, missed)) is not None
    }
    part.how = (
        f"By the F1 of a picture: detections with a score of {threshold:.2f} and above, right at "
        f"an IoU of {MATCH_IOU}. Of equal pictures that with fewer mistakes is the better."
    )

    def show(image: int) -> Shown:
        right, wrong, missed = counts[image]
        f1 = standings[image].score
        verdict = f"F1 {f1:.2f}: {right} right, {wrong} wrong, {missed} not found"
        found = detections_of(results, image, index.categories)
        return show_boxes(index, positions[image], found, threshold, verdict)

    return _add_pictures(part, standings, pictures, show)


def _open_eyes(checkpoint: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What a checkpoint sees in a picture: its label map."""
    config, categories, task = open_any_content(read_checkpoint(checkpoint), checkpoint)
    column = column_of(config, task, categories)
    if not isinstance(column, JointColumn):
        return column.see
    return lambda image: column.see(image).label_map.numpy()


def _add_pictures(
    part: Part,
    standings: Mapping[int, Standing],
    count: int,
    show: Callable[[int], Shown],
) -> list[str]:
    ranked = rank(standings, count)
    problems: list[str] = []

    def drawn(keys: Sequence[int]) -> list[Shown]:
        found = []
        for key in keys:
            try:
                found.append(show(key))
            except UserError as error:
                problems.append(str(error))
        return found

    part.best, part.worst = drawn(ranked.best), drawn(ranked.worst)
    if not problems:
        return []
    return [f"{len(problems)} pictures cannot be drawn: {list_first(problems)}"]


def _lacking(what: str, part: Part, error: UserError) -> str:
    return f"{what}: {error} ({part.data_key}=FOLDER says where the data are now)"
