"""Anchors for a data set: how well a config's cover its boxes, and which would do better."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mnv2_dense.builders.detection import trace_levels
from mnv2_dense.builders.parts import input_size
from mnv2_dense.commands.session import ensure_data, read_data, say
from mnv2_dense.config.detection import Anchors
from mnv2_dense.config.document import read_document, write_value
from mnv2_dense.config.loader import load_config, parse_config
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.anchors import AnchorGenerator, AnchorSettings
from mnv2_dense.detection.fitting import (
    NetworkBoxes,
    fit_anchors,
    match_quality,
    network_boxes,
)
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize
from mnv2_dense.training.runs import write_json

MAX_BOXES = 20_000
"""Boxes of a split that are looked at; of more, as many are drawn by the config's seed."""
SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, float("inf")))
"""COCO's areas in pixels of the stored picture, here of the box (in COCO: of the mask)."""
COMMON_THRESHOLD = 0.5
LEGEND = (
    "small, medium, large (boxes): matched at IoU 0.5, mean best IoU\n"
    "best on HxW: share of the boxes whose best anchor is on that level @its scale"
)


class Levels(NamedTuple):
    """The maps that predict, and the network's input."""

    cells: list[ImageSize]
    image_size: ImageSize


def propose(
    source: Path,
    overrides: Sequence[str],
    *,
    ratios: int | None = None,
    report: Path | None = None,
) -> None:
    """Prints how many boxes a config's anchors match, better anchors, and what those match.

    They are fitted to the training boxes at the network's input, as a plain resize leaves them;
    the validation boxes are only measured.

    Args:
        source: A detector's config.
        overrides: Changes to it, of the form `key.path=value`.
        ratios: How many aspect ratios to propose; None keeps their number.
        report: JSON file for all figures.

    Raises:
        UserError: The config is no detector's, or its data cannot be read or have no boxes.
    """
    config = _detector(load_config(source, overrides), source)
    levels, current = _find_levels(config)
    ensure_data(config)
    boxes = {split: _read_boxes(config, split, levels.image_size) for split in ("train", "val")}
    fitted = fit_anchors(
        boxes["train"].shares,
        current,
        *levels,
        threshold=config.matching.match_iou_threshold,
        ratios=ratios,
        progress=say,
    )
    text = to_section(fitted)
    checked, again = _find_levels(_reload(config, text, source))
    assert (checked, again) == (levels, fitted), "the proposal reads back as other anchors"
    shown = {"before": current, "after": fitted} if fitted != current else {"before": current}
    thresholds = sorted({COMMON_THRESHOLD, config.matching.match_iou_threshold})
    figures = {
        split: {name: measure(found, each, levels, thresholds) for name, each in shown.items()}
        for split, found in boxes.items()
    }
    say(f"\n{LEGEND}")
    for split, found in boxes.items():
        say(f"\n{_heading(split, found, levels)}\n{_table(figures[split])}")
    say("\n" + (text if fitted != current else "No better anchors were found: keep the config's."))
    if report is not None:
        proposed = read_document(text).values if fitted != current else None
        write_json(report, {"boxes": figures, "proposal": proposed})
        say(f"wrote {report}")


def to_section(settings: AnchorSettings) -> str:
    """The `anchors` section of a config that has these settings, as YAML."""
    values = Anchors(**settings._asdict()).model_dump(mode="json", include={*settings._fields})
    return "\n".join(["anchors:", *(f"  {key}: {write_value(values[key])}" for key in values)])


def measure(
    boxes: NetworkBoxes, settings: AnchorSettings, levels: Levels, thresholds: Sequence[float]
) -> dict[str, Any]:
    """What the real anchors of every cell match: by threshold, size of the box, and level.

    A level's share is that of the boxes whose best anchor is there. Without boxes, shares and
    means are None.
    """
    found = _by_level(boxes.shares, settings.generator(), levels)
    best, level = found.max(dim=0)
    sizes = {
        name: _summary(best[(boxes.areas >= low) & (boxes.areas < high)], thresholds)
        for name, low, high in SIZES
    }
    rows = [
        {"cells": list(cells), "scale": scale, "share": _mean((level == number).double())}
        for number, (cells, scale) in enumerate(zip(levels.cells, settings.scales, strict=True))
    ]
    return {**_summary(best, thresholds), "sizes": sizes, "levels": rows}


def _by_level(boxes: Tensor, generator: AnchorGenerator, levels: Levels) -> Tensor:
    """The best IoU [levels, N] of every box with the anchors of each level."""
    anchors = generator(*levels, torch.device("cpu"))
    counts = [
        each.height * each.width * count
        for each, count in zip(levels.cells, generator.counts, strict=True)
    ]
    return torch.stack([match_quality(boxes, part).best_ious for part in anchors.split(counts)])


def _summary(best_ious: Tensor, thresholds: Sequence[float]) -> dict[str, Any]:
    matched = {f"{each:g}": _mean((best_ious >= each).double()) for each in thresholds}
    mean = _mean(best_ious.double())
    return {"boxes": len(best_ious), "matched_share": matched, "mean_best_iou": mean}


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _detector(config: Config, source: Path) -> DetectionConfig:
    if not isinstance(config, DetectionConfig):
        raise UserError(f"{source}: task is {config.task}, which has no anchors; give a detector's")
    return config


def _reload(config: DetectionConfig, text: str, source: Path) -> DetectionConfig:
    """The config with a section in the form in which it is proposed."""
    section = read_document(text).values
    assert isinstance(section, dict)
    return _detector(parse_config({**config.model_dump(mode="json"), **section}), source)


def _find_levels(config: DetectionConfig) -> tuple[Levels, AnchorSettings]:
    """The maps of the config's network, and its anchors' settings."""
    cells, generator = trace_levels(config)
    anchors = config.anchors
    settings = AnchorSettings(
        generator.scales, anchors.aspect_ratios, anchors.reduce_lowest_level, anchors.lowest_scale
    )
    return Levels(cells, input_size(config)), settings


def _read_boxes(config: DetectionConfig, split: str, size: ImageSize) -> NetworkBoxes:
    index = read_data(config, split)
    assert isinstance(index, DetectionIndex)
    boxes = network_boxes(index, size)
    count = len(boxes.shares)
    if count <= MAX_BOXES:
        return boxes
    generator = torch.Generator().manual_seed(config.training.seed)
    drawn = torch.randperm(count, generator=generator)[:MAX_BOXES].sort().values
    say(f"{split}: {MAX_BOXES:,} of {count:,} boxes drawn by training.seed={config.training.seed}")
    return NetworkBoxes(boxes.shares[drawn], boxes.areas[drawn], boxes.left)


def _heading(split: str, boxes: NetworkBoxes, levels: Levels) -> str:
    height, width = levels.image_size
    text = f"{split}: {len(boxes.shares):,} boxes at an input of {height}x{width}"
    if boxes.left:
        text += f"; {boxes.left:,} under a pixel there left out, as in training"
    return text


def _table(measured: dict[str, dict[str, Any]]) -> str:
    """A column per set of anchors."""
    columns = [_rows(figures) for figures in measured.values()]
    lines = [f"{'':<24}" + "".join(f"{name:>16}" for name in measured)]
    for label in columns[0]:
        lines.append(f"{label:<24}" + "".join(f"{column[label]:>16}" for column in columns))
    return "\n".join(lines)


def _rows(figures: dict[str, Any]) -> dict[str, str]:
    rows = {f"matched at IoU {each}": _text(v) for each, v in figures["matched_share"].items()}
    rows["mean best IoU"] = _text(figures["mean_best_iou"])
    common = f"{COMMON_THRESHOLD:g}"
    for name, found in figures["sizes"].items():
        label = f"  {name} ({found['boxes']:,})"
        rows[label] = f"{_text(found['matched_share'][common])} {_text(found['mean_best_iou'])}"
    for level in figures["levels"]:
        height, width = level["cells"]
        rows[f"  best on {height}x{width}"] = f"{_text(level['share'])} @{level['scale']:.4f}"
    return rows


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
