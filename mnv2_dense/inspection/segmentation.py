"""Everything that is wrong with a segmentation data set, and what it holds."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mnv2_dense.builders.segmentation_data import class_names, mask_rule, settle_classes
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.config.segmentation import VOID, SegmentationData
from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.class_gaps import gap_findings, training_gaps
from mnv2_dense.inspection.classes import (
    absent_from_masks,
    are_counted,
    count_masks,
    count_pixels,
    hold_colors_alone,
    only_present,
)
from mnv2_dense.inspection.duplicates import Use
from mnv2_dense.inspection.examples import draw_examples
from mnv2_dense.inspection.findings import Finding, unreadable_split, without_pictures
from mnv2_dense.inspection.histograms import class_histogram, picture_sizes
from mnv2_dense.inspection.mask_sets import MaskSet, read_mask_set
from mnv2_dense.inspection.masks import (
    MaskFacts,
    draw_mask,
    mask_findings,
    unused_masks,
)
from mnv2_dense.inspection.near_duplicates import copy_findings
from mnv2_dense.inspection.pictures import (
    PictureFacts,
    map_files,
    picture_findings,
    scan_pictures,
)
from mnv2_dense.inspection.report import Report
from mnv2_dense.inspection.sizes import size_problem_of
from mnv2_dense.inspection.unused import unused_findings, without_told
from mnv2_dense.structures import IGNORE_INDEX


def inspect_segmentation(config: SegmentationConfig, source: str, jobs: int) -> Report:
    """Reads all pictures and all masks of both splits.

    Args:
        config: Whose data are looked at.
        source: What is inspected, for the report.
        jobs: Files decoded at once.
    """
    findings: list[Finding] = []
    data, known = _settle(config.data, findings)
    sets: dict[str, MaskSet] = {}
    for split in ("train", "val"):
        try:
            sets[split] = read_mask_set(data, split)
        except UserError as error:
            findings.append(unreadable_split(split, error))
    problems = [problem for each in sets.values() for problem in each.problems]
    findings += without_pictures(dict.fromkeys(problems))
    paths = dict.fromkeys(
        path for each in sets.values() for path in each.pictures + each.without_masks
    )
    pictures = scan_pictures(paths, jobs)
    masks = {
        split: list(map_files(each.read, range(len(each.keys)), jobs, f"{split} masks"))
        for split, each in sets.items()
    }
    findings += _file_findings(data, sets, pictures, masks)
    counted = not known or are_counted(config.data, data)
    # A drawn validation share is counted, too.
    sources = [split for split in sets if split == "train" or data.val_share is not None]
    looked_at = [facts for split in sources for facts in masks[split]]
    gaps = training_gaps(looked_at) if counted else []
    findings += gap_findings(
        gaps, [path for split in sources for path in sets[split].pictures], looked_at
    )
    names = class_names(data)
    if known:
        findings += without_pictures(absent_from_masks(names, masks, gaps))
    elif hold_colors_alone(masks):
        findings = [found for found in findings if found.problem.kind != "color_mask"]
    pixels, pictures_with = count_pixels(names, masks), count_masks(names, masks)
    if not known:
        pixels, pictures_with = only_present(pixels), only_present(pictures_with)
    report = Report(
        source, "segmentation", config.data.model_dump(mode="json", exclude_defaults=True)
    )
    files = [*pictures, *(path for each in sets.values() for path in each.masks)]
    report.folders = list(dict.fromkeys(path.parent for path in files))
    report.facts = {
        split: _facts(each, pictures, masks[split], len(pixels[split]))
        for split, each in sets.items()
    }
    report.problems = list(dict.fromkeys(finding.problem for finding in findings))
    report.histograms = [
        class_histogram("Pixels by class, void left out", pixels),
        class_histogram("Pictures by class", pictures_with),
        picture_sizes(
            {
                split: [pictures[path].size for path in each.pictures if not pictures[path].fault]
                for split, each in sets.items()
            }
        ),
    ]
    report.examples = draw_examples(
        findings,
        upright=data.orientation == "upright",
        draw_mask=partial(draw_mask, rule=mask_rule(data)),
    )
    return report


def _settle(data: SegmentationData, findings: list[Finding]) -> tuple[SegmentationData, bool]:
    """The section with its classes; if they are not known, with as many as a mask can hold."""
    try:
        return settle_classes(data, partial=True), True
    except UserError as error:
        findings.append(Finding(Problem("unknown_classes", Level.ERROR, f"classes: {error}", "")))
        keys = ("color_table", "colors", "ignore_color", "classes")
        return data.model_copy(update={**dict.fromkeys(keys), "num_classes": VOID}), False


def _file_findings(
    data: SegmentationData,
    sets: Mapping[str, MaskSet],
    pictures: Mapping[Path, PictureFacts],
    masks: Mapping[str, list[MaskFacts]],
) -> list[Finding]:
    level = Level.ERROR if data.on_bad_image == "stop" else Level.PROBLEM
    findings = picture_findings(pictures.values(), str, level)
    for split, each in sets.items():
        drawn = not each.masks
        found = list(mask_findings(zip(each.pictures, masks[split], strict=True), split, level))
        findings += [finding._replace(masks=()) for finding in found] if drawn else found
        findings += _size_findings(each, pictures, masks[split], data, level)
    uses = [
        Use(split, key, pictures[path])
        for split, each in sets.items()
        for key, path in zip(each.keys, each.pictures, strict=True)
    ]
    findings += copy_findings(uses)
    # A split that cannot be read would make all of its files look unused.
    return findings + (_unused(data, sets) if len(sets) == 2 else [])


def _size_findings(
    each: MaskSet,
    pictures: Mapping[Path, PictureFacts],
    masks: list[MaskFacts],
    data: SegmentationData,
    level: Level,
) -> list[Finding]:
    findings: list[Finding] = []
    upright = data.orientation == "upright"
    for path, mask in zip(each.pictures, masks, strict=True):
        if pictures[path].fault or not all(mask.size):
            continue
        problem = size_problem_of(
            pictures[path], mask.size, str(path), "mask", upright=upright, level=level
        )
        if problem:
            findings.append(Finding(problem, (path,), (), (mask.path,) if each.masks else ()))
    return findings


def _unused(data: SegmentationData, sets: Mapping[str, MaskSet]) -> list[Finding]:
    root, listed = Path(data.root), bool(data.train_list or data.val_list)
    folders = {
        key: dict.fromkeys(
            root / path for split in sets if (path := getattr(data, f"{split}_{key}")) is not None
        )
        for key in ("images", "masks")
    }
    named = [path for each in sets.values() for path in each.pictures + each.without_masks]
    used = [path for each in sets.values() for path in each.masks]
    unused = unused_findings(folders["images"], [*named, *used], listed)
    findings = without_told(unused, [found for each in sets.values() for found in each.problems])
    for folder in folders["masks"]:
        findings += unused_masks(folder, used, data.mask_suffix, listed)
    return findings


def _facts(
    each: MaskSet,
    pictures: Mapping[Path, PictureFacts],
    masks: list[MaskFacts],
    num_classes: int,
) -> dict[str, float]:
    total = sum(sum(facts.pixels.values()) for facts in masks)
    void = sum(facts.pixels.get(IGNORE_INDEX, 0) for facts in masks)
    return {
        "images": len(each.keys),
        "readable images": sum(not pictures[path].fault for path in each.pictures),
        "usable masks": sum(not facts.fault for facts in masks),
        "classes": num_classes,
        "share of void": void / total if total else 0.0,
    }
