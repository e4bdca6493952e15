"""The paper's tables, computed, beside what the paper prints; and its Figure 1."""

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from mnv2_dense.commands.outputs import free_name
from mnv2_dense.commands.session import say
from mnv2_dense.errors import UserError
from mnv2_dense.paper.agreement import Verdict
from mnv2_dense.paper.rows import Row, Table
from mnv2_dense.paper.spiral import SpiralRow, draw_figure1, figure1
from mnv2_dense.paper.tables import TABLES

FIGURE = "figure1"

_TITLES = ("model", "setting", "figure", "printed", "ours", "verdict")
_FURTHER_TITLES = ("model", "setting", "parameters", "multiply-adds", "space-to-batch", "")
_SPIRAL_TITLES = ("form", "n", "seeds", "error", "least", "most", "points lost")
_NUMBERS = {*_SPIRAL_TITLES[1:], "printed", "ours", "parameters", "multiply-adds", "space-to-batch"}
_HEADINGS = {
    "further": "Not in the paper's table:",
    "rejected": "Other readings of a row, rejected because their counts are not the paper's:",
}
# Which of our counts stands beside a printed column, and which stand behind another convention.
_COUNTS = {"params": "parameters", "MAdds": "multiply_adds"}
_CONVENTIONS = {"without norms": "weights", "by space-to-batch": "space_to_batch"}
_ALWAYS = ("parameters", "weights", "running_statistics", "state_dict", "multiply_adds")


def print_tables(choice: str | None, *, as_json: bool) -> None:
    """Computes and prints one table, or all of them.

    Args:
        choice: A key of `TABLES`; None for all.
        as_json: Print every count, to the unit, as JSON.
    """
    tables = [make() for number, make in TABLES.items() if choice in (None, number)]
    if as_json:
        content = {f"table_{table.number}": table.as_json() for table in tables}
        say(json.dumps(content, indent=1))
        return
    for table in tables:
        say("\n".join(table_lines(table)) + "\n")


def print_figure(picture: Path | None, *, as_json: bool) -> None:
    """Draws Figure 1 and prints what came back of the spiral, by form and dimensions.

    Args:
        picture: File to write; None for `figure1.png` here, or the next free name.
        as_json: Print the numbers as JSON, and draw only where `picture` says so.

    Raises:
        UserError: The file exists, or cannot be written.
    """
    if picture is not None and picture.exists():
        raise UserError(f"--picture {picture} exists; give another name, or remove it")
    if picture is not None and not os.access(picture.parent, os.W_OK):
        raise UserError(
            f"--picture {picture}: {picture.parent} is no folder that can be written to"
        )
    rows = figure1()
    if as_json:
        say(json.dumps({FIGURE: [row._asdict() for row in rows]}, indent=1))
        if picture is not None:
            draw_figure1(picture)
        return
    path = picture or free_name(Path("figure1.png"))
    say("Figure 1: a spiral sent through n dimensions and ReLU, and back; error 0 is perfect, 1 is")
    say("as bad as its mean in place of every point; lost points have fewer than two dimensions")
    say("\n".join(align(_SPIRAL_TITLES, [_spiral_cells(row) for row in rows])))
    draw_figure1(path)
    say(f"wrote {path}")


def _spiral_cells(row: SpiralRow) -> list[str]:
    errors = [f"{error:.3f}" for error in (row.error_mean, row.error_min, row.error_max)]
    return [row.form, str(row.n), str(row.seeds), *errors, f"{100 * row.lost:.1f} %"]


def table_lines(table: Table) -> Iterator[str]:
    """A table as text: a line per printed figure, then a line per row of our own."""
    yield f"Table {table.number}: {table.title}"
    for heading, group in groupby(table.rows, lambda row: _HEADINGS.get(row.kind, "")):
        rows = list(group)
        if heading:
            yield f"\n{heading}"
        if compared := [row for row in rows if row.printed]:
            yield from align(_TITLES, [cells for row in compared for cells in _compare(row)])
        if others := [row for row in rows if not row.printed]:
            yield from align(_FURTHER_TITLES, [_list_counts(row) for row in others])


def _compare(row: Row) -> Iterator[list[str]]:
    """The printed figures of a row beside ours, then what else is counted of it."""
    names = [row.model, row.setting]
    for figure, printed in row.printed.items():
        verdict = row.verdicts.get(figure)
        ours = "" if verdict is None else number(row.counts[_COUNTS.get(figure, figure)])
        yield [*names, figure, printed, ours, describe(verdict, row)]
        names = ["", ""]
    shown = {*_ALWAYS, *row.printed}
    for figure, ours in row.counts.items():
        if figure not in shown and ours != row.counts.get("multiply_adds"):
            yield ["", "", figure.replace("_", "-"), "", number(ours), ""]


def _list_counts(row: Row) -> list[str]:
    """A row that the paper does not have, on one line."""
    counts = row.counts
    main = [number(counts[name]) for name in ("parameters", "multiply_adds")]
    atrous = counts["space_to_batch"]
    shown = {*_ALWAYS, "space_to_batch"}
    rest = [
        f"{name.replace('_', '-')} {number(n)}" for name, n in counts.items() if name not in shown
    ]
    by_batch = "" if atrous == counts["multiply_adds"] else number(atrous)
    return [row.model, row.setting, *main, by_batch, ", ".join([*rest, row.note]).rstrip(", ")]


def describe(verdict: Verdict | None, row: Row) -> str:
    """A verdict in words, with the reason of a difference where it is known."""
    if verdict is None:
        return "quoted from elsewhere, not built here" if row.kind == "quoted" else "not a count"
    by = ""
    if verdict.convention in _CONVENTIONS:
        by = f" {verdict.convention} ({number(row.counts[_CONVENTIONS[verdict.convention]])})"
    deviation = f"{100 * verdict.deviation:+.2f} %"
    if not verdict.agrees:
        return f"DIFFERS by {deviation}{by}" + (f": {row.note}" if row.note else "")
    how = {"cut": ", digits cut", "near": f" to {deviation}"}.get(verdict.how, "")
    return f"agrees{by}{how}"


def number(count: float) -> str:
    """Whole counts to the unit, kilobytes to a tenth."""
    return f"{count:,}" if isinstance(count, int) else f"{count:,.1f}"


def align(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells in columns under their titles, numbers to the right."""
    table = [titles, *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [
            cell.rjust(width) if title in _NUMBERS else cell.ljust(width)
            for cell, width, title in zip(line, widths, titles, strict=True)
        ]
        yield "  ".join(cells).rstrip()
