"""An error analysis as text."""

from collections.abc import Mapping, Sequence
from typing import Final

from mnv2_dense.coco_evaluation.summary import UNDEFINED
from mnv2_dense.error_analysis.report import ClassErrors, Confusion, ErrorAnalysis, Loss

LONGEST: Final = 10
"""Rows of classes and of confusions, the worst of many."""

_COLUMNS: Final = ("class", "local", "both", "dupl", "backgr", "missed")
"""Short words for the kinds, in their order."""


def format_line(analysis: ErrorAnalysis) -> str:
    """AP50 and what errors of each kind cost, in one line."""
    if analysis.ap50 == UNDEFINED:
        return "AP50: there are no objects to be found, so nothing is lost"
    losses = ", ".join(f"{loss.dap:.3f} {kind}" for kind, loss in analysis.errors.items())
    return f"AP50 {analysis.ap50:.3f}; AP lost to errors of each kind: {losses}"


def format_tables(analysis: ErrorAnalysis) -> str:
    """What each kind costs, the classes that lose most, and those that are confused most often."""
    tables = [_format_kinds(analysis)]
    if rows := [each for each in analysis.classes if each.objects and _worst(each) > 0]:
        rows.sort(key=_worst, reverse=True)
        tables.append(_format_classes(rows[:LONGEST], len(rows)))
    if analysis.confusions:
        tables.append(_format_confusions(analysis.confusions))
    return "\n\n".join(tables)


def _format_kinds(analysis: ErrorAnalysis) -> str:
    together = {
        "all false positives": analysis.false_positives,
        "all false negatives": analysis.false_negatives,
    }
    rows = {**analysis.errors, **together}.items()
    ap50 = "-" if analysis.ap50 == UNDEFINED else f"{analysis.ap50:.3f}"
    lines = [f"AP50 {ap50} on {analysis.images} images", "", f"{'error':<20}   dAP   count"]
    return "\n".join([*lines, *(f"{kind:<20}{loss.dap:6.3f}{loss.count:8}" for kind, loss in rows)])


def _format_classes(rows: Sequence[ClassErrors], total: int) -> str:
    """One line per class: AP50, and dAP by kind."""
    width = max(len(each.name) for each in rows)
    head = "".join(f"{word:>8}" for word in ("AP50", *_COLUMNS))
    lines = [f"{each.name:<{width}}{each.ap50:8.3f}{_cells(each.errors)}" for each in rows]
    title = f"{len(rows)} of {total} classes with errors, those that lose most first; dAP:"
    return "\n".join([title, f"{'':<{width}}{head}", *lines])


def _cells(errors: Mapping[str, Loss]) -> str:
    return "".join(f"{loss.dap:8.3f}" for loss in errors.values())


def _worst(row: ClassErrors) -> float:
    return max(loss.dap for loss in row.errors.values())


def _format_confusions(confusions: Sequence[Confusion]) -> str:
    shown = confusions[:LONGEST]
    title = (
        f"{len(shown)} of {len(confusions)} pairs of classes that are confused, most often first:"
    )
    rows = (f"{each.count:7}  {each.true} detected as {each.predicted}" for each in shown)
    return "\n".join([title, *rows])
