"""Everything that is wrong with a detection data set, and what it holds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mnv2_dense.builders.detection_data import check_split, forget_files, read_boxes
from mnv2_dense.builders.parts import input_size
from mnv2_dense.config.detection import DetectionData
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.targets import build_index
from mnv2_dense.errors import UserError
from mnv2_dense.formats.box_set import BoxSet, Record
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.formats.yolo_places import find_labels
from mnv2_dense.inspection.anchors import (
    MATCH_THRESHOLD,
    MatchedBoxes,
    box_histograms,
    config_anchors,
    match_boxes,
    unmatched_findings,
)
from mnv2_dense.inspection.boxes import (
    DROPPED,
    box_findings,
    class_findings,
    count_classes,
    empty_findings,
)
from mnv2_dense.inspection.duplicates import Use
from mnv2_dense.inspection.examples import draw_examples
from mnv2_dense.inspection.findings import Box, Finding, unreadable_split, without_pictures
from mnv2_dense.inspection.histograms import class_histogram, picture_sizes
from mnv2_dense.inspection.near_duplicates import copy_findings, equal_id_findings
from mnv2_dense.inspection.pictures import PictureFacts, picture_findings, scan_pictures
from mnv2_dense.inspection.report import Report
from mnv2_dense.inspection.sizes import size_problem_of
from mnv2_dense.inspection.unused import unused_findings, without_told
from mnv2_dense.structures import ImageSize


def inspect_detection(config: DetectionConfig, source: str, jobs: int) -> Report:
    """Reads all boxes and all pictures of both splits.

    Args:
        config: Whose data, input size and anchors are looked at.
        source: What is inspected, for the report.
        jobs: Pictures decoded at once.

    Raises:
        UserError: The config's network or anchors cannot be built.
    """
    anchors = config_anchors(config)
    findings: list[Finding] = []
    sets: dict[str, BoxSet] = {}
    for split in ("train", "val"):
        try:
            sets[split] = read_boxes(config.data, split)
        except UserError as error:
            findings.append(unreadable_split(split, error))
    forget_files()
    problems = [problem for boxes in sets.values() for problem in boxes.problems]
    findings += without_pictures(dict.fromkeys(problems))
    paths = {path: None for boxes in sets.values() for path in _paths(boxes).values()}
    facts = scan_pictures(paths, jobs)
    findings += _picture_findings(config, sets, facts)
    bad_boxes = {split: box_findings(boxes) for split, boxes in sets.items()}
    for split, boxes in sets.items():
        findings += [*bad_boxes[split], *empty_findings(boxes, split)]
    findings += class_findings(sets)
    indexes = {split: build_index(replace(boxes, problems=[])) for split, boxes in sets.items()}
    findings += _unusable(config, indexes)
    matched = {
        split: match_boxes(index, anchors, input_size(config)) for split, index in indexes.items()
    }
    for split, found in matched.items():
        findings += unmatched_findings(split, indexes[split], found)
    report = Report(source, "detection", data_section(config))
    # Of YOLO's pictures alone the labels may lie in a folder that the config does not name.
    first = {path.parent: path for path in paths}
    labels = [place.labels for place in find_labels([*first.values()])]
    report.folders = [*first, *(path.parent for path in labels)]
    report.facts = {
        split: _facts(boxes, facts, bad_boxes[split], matched[split])
        for split, boxes in sets.items()
    }
    report.problems = list(dict.fromkeys(finding.problem for finding in findings))
    report.histograms = [
        class_histogram(
            "Boxes by class", {split: count_classes(each) for split, each in sets.items()}
        ),
        *box_histograms(matched),
        picture_sizes({split: _sizes(boxes, facts) for split, boxes in sets.items()}),
    ]
    report.examples = draw_examples(findings, upright=config.data.orientation == "upright")
    return report


def _unusable(config: DetectionConfig, indexes: Mapping[str, DetectionIndex]) -> Iterator[Finding]:
    """The splits that training would refuse as a whole."""
    for split, index in indexes.items():
        try:
            check_split(config.data, split, index)
        except UserError as error:
            yield Finding(Problem("unusable_split", Level.ERROR, str(error), ""))


def data_section(config: DetectionConfig) -> dict[str, object]:
    """The keys of the data section that are not as they are by default."""
    return config.data.model_dump(mode="json", exclude_defaults=True)


def _paths(boxes: BoxSet) -> dict[int, Path]:
    """File of every image, by id."""
    return {image["id"]: boxes.image_folder / image["file_name"] for image in boxes.images}


def _picture_findings(
    config: DetectionConfig, sets: Mapping[str, BoxSet], facts: Mapping[Path, PictureFacts]
) -> list[Finding]:
    data = config.data
    level = Level.ERROR if data.on_bad_image == "stop" else Level.PROBLEM
    findings = picture_findings(facts.values(), str, level)
    for boxes in sets.values():
        findings += _size_findings(boxes, facts, level, upright=data.orientation == "upright")
    return [
        *findings,
        *_copies(sets, facts, ids=data.format == "coco"),
        *_unused(data, sets, facts),
    ]


def _copies(
    sets: Mapping[str, BoxSet], facts: Mapping[Path, PictureFacts], *, ids: bool
) -> list[Finding]:
    """What is there twice; `ids` are compared where the files have them."""
    uses = [
        Use(split, image["file_name"], facts[boxes.image_folder / image["file_name"]])
        for split, boxes in sets.items()
        for image in boxes.images
    ]
    return copy_findings(uses) + (equal_id_findings(sets) if ids else [])


def _unused(
    data: DetectionData, sets: Mapping[str, BoxSet], facts: Mapping[Path, PictureFacts]
) -> list[Finding]:
    folders = dict.fromkeys(boxes.image_folder for boxes in sets.values())
    listed = bool(data.train_list or data.val_list)
    # A split that cannot be read would make all of its pictures look unused.
    unused = unused_findings(folders, facts.keys(), listed) if len(sets) == 2 else []
    told = [each for boxes in sets.values() for each in boxes.problems]
    return without_told(unused, told)


def _size_findings(
    boxes: BoxSet, facts: Mapping[Path, PictureFacts], level: Level, *, upright: bool
) -> Iterator[Finding]:
    found: list[tuple[Record, Path, Problem]] = []
    paths = _paths(boxes)
    for image in boxes.images:
        path = paths[image["id"]]
        annotated = ImageSize(image["height"], image["width"])
        if not facts[path].fault and (
            problem := size_problem_of(
                facts[path], annotated, str(path), "annotated", upright=upright, level=level
            )
        ):
            found.append((image, path, problem))
    wanted = {image["id"] for image, _, _ in found}
    drawn: dict[int, list[Box]] = defaultdict(list)
    for entry in boxes.annotations:
        if entry["image_id"] in wanted:
            x, y, width, height = entry["bbox"]
            drawn[entry["image_id"]].append((x, y, x + width, y + height))
    for image, path, problem in found:
        yield Finding(problem, (path,), tuple(drawn[image["id"]]))


def _facts(
    boxes: BoxSet,
    facts: Mapping[Path, PictureFacts],
    bad_boxes: list[Finding],
    matched: MatchedBoxes,
) -> dict[str, float]:
    crowds = sum(bool(entry.get("iscrowd")) for entry in boxes.annotations)
    filled = {entry["image_id"] for entry in boxes.annotations}
    kinds = [finding.problem.kind for finding in bad_boxes]
    values: dict[str, float] = {
        "images": len(boxes.images),
        "readable images": sum(not facts[path].fault for path in _paths(boxes).values()),
        "images without boxes": sum(image["id"] not in filled for image in boxes.images),
        "classes": len(boxes.categories),
        "boxes": len(boxes.annotations) - crowds,
        "crowd boxes": crowds,
        "dropped boxes": sum(kind in DROPPED for kind in kinds),
        "clipped boxes": kinds.count("clipped_box"),
    }
    if len(matched.best_ious):
        best = matched.best_ious.double()
        values[f"share matched at {MATCH_THRESHOLD:g}"] = float(
            (best >= MATCH_THRESHOLD).double().mean()
        )
        values["mean best IoU"] = float(best.mean())
    return values


def _sizes(boxes: BoxSet, facts: Mapping[Path, PictureFacts]) -> list[ImageSize]:
    return [facts[path].size for path in _paths(boxes).values() if not facts[path].fault]
