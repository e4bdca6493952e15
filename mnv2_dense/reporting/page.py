"""A run as one HTML page that needs no network, no script and no other file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from mnv2_dense.config.schema import Config
from mnv2_dense.pages.markup import element, page, read_style
from mnv2_dense.reporting.curves import best_step, draw_curves
from mnv2_dense.reporting.detection import draw_detection
from mnv2_dense.reporting.facts import draw_config, draw_environment, draw_timing
from mnv2_dense.reporting.findings import Findings
from mnv2_dense.reporting.parts import score
from mnv2_dense.reporting.pictures import Shown, draw_pictures
from mnv2_dense.reporting.run_folder import Run, split_config
from mnv2_dense.reporting.segmentation import draw_segmentation
from mnv2_dense.training.runs import is_finished


@dataclass
class Part:
    """What was measured of one task of a run.

    Attributes:
        config: Of the task.
        metrics: Its numbers, as `metrics.json` has them.
        findings: Of a detector, what its detections say.
        best: Pictures, the best one first.
        worst: Pictures, the worst one first.
        names: Of the classes.
        how: What the pictures' score is.
        data_key: Of the config, for where the data are: of a joint run each task has its own.
    """

    config: Config
    metrics: dict[str, Any]
    findings: Findings | None = None
    best: Sequence[Shown] = ()
    worst: Sequence[Shown] = ()
    names: Sequence[str] = ()
    how: str = ""
    data_key: str = "data.root"


@dataclass
class Report:
    """All that is on a page.

    Attributes:
        run: The run.
        metrics: Of its best checkpoint, if that was measured.
        parts: The same by its tasks: of a joint network two.
        missing: What is not there or cannot be used, a sentence each.
    """

    run: Run
    metrics: dict[str, Any] | None = None
    parts: list[Part] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def write_page(report: Report, path: Path) -> None:
    """Writes the page of a run; whatever names and paths hold is shown as text.

    Raises:
        OSError: It cannot be written.
    """
    path.write_bytes(draw_page(report).encode())


def draw_page(report: Report) -> str:
    """The page's HTML."""
    run = report.run
    sections = [
        *_results(report),
        draw_curves(run.log, run.score),
        draw_timing(run),
        draw_environment(run),
        draw_config(run.config),
    ]
    links = (
        element("a", "".join(each[0].itertext()), href=f"#{each.get('id')}") for each in sections
    )
    footer = element("footer", "Written by report.py. It holds no script and loads nothing.")
    main = element(
        "main",
        _header(report),
        *_missing([*report.missing, *run.log.problems]),
        element("nav", *links, aria_label="Sections"),
        *sections,
        footer,
    )
    style = read_style("mnv2_dense.reporting")
    return page(f"{run.config.name}: {run.folder.name}", style, main)


def _results(report: Report) -> list[Element]:
    """What the evaluation of the best checkpoint says, task by task."""
    sections: list[Element] = []
    for part in report.parts:
        own = _draw_part(part)
        if len(report.parts) > 1:
            for each in own:
                each.set("id", f"{part.config.task}-{each.get('id')}")
                each[0].text = f"{part.config.task.capitalize()}: {each[0].text}"
        sections += own
    return sections


def _draw_part(part: Part) -> list[Element]:
    detects = part.config.task == "detection"
    drawn = (
        draw_detection(part.metrics, part.findings) if detects else draw_segmentation(part.metrics)
    )
    if part.best or part.worst:
        drawn.append(draw_pictures(part.best, part.worst, part.names, part.how))
    return drawn


def _header(report: Report) -> Element:
    run = report.run
    kind = f"{run.config.task.capitalize()} run"
    value = None if report.metrics is None else report.metrics.get(run.score)
    meaning = ", the mean of mAP and mIoU" if len(split_config(run.config)) > 1 else ""
    return element(
        "header",
        element(
            "div",
            element("p", kind, class_="eyebrow"),
            element("h1", element("bdi", run.config.name)),
            element("p", element("code", str(run.folder)), class_="source"),
            element("p", _state(report), class_="meaning"),
        ),
        element("p", element("b", score(value)), f" {run.score}{meaning}", class_="score"),
        class_="verdict",
    )


def _state(report: Report) -> str:
    """How far the run got, and what was measured."""
    run = report.run
    step = best_step(run.log, run.score)
    last = run.log.last_step
    done = "Nothing logged" if last is None else f"{last + 1:,} steps"
    ended = "finished" if is_finished(run.folder) else "not finished"
    parts = [f"{done}, {ended}."]
    if report.metrics is not None:
        at = "" if step is None else f", of step {step + 1:,}"
        parts.append(f"All scores are of the best checkpoint{at}.")
    return " ".join(parts)


def _missing(problems: Sequence[str]) -> list[Element]:
    if not problems:
        return []
    listed = (element("li", problem) for problem in problems)
    title = element("h2", "What is missing here")
    return [element("aside", title, element("ul", *listed), class_="missing")]


def unmeasured(metrics: dict[str, Any]) -> list[str]:
    """What an evaluation left out, in a sentence, if anything."""
    found = metrics.get("unmeasured")
    if not isinstance(found, dict):
        return []
    return [
        f"{found.get('count')} of {found.get('of')} pictures could not be read and were not "
        "measured; where objects are counted, theirs count as not found"
    ]
