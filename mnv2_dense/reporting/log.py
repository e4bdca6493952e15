"""A run's log as series of numbers, whatever a kill or a full disk has done to it."""

import csv
import io
import math
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.small_files import read_start

LONGEST_LOG = 1 << 26
"""Bytes that are read: some half a million rows."""
LAST_STEP = 10**12
"""A later one, or one before the first, is damage."""


class Series(NamedTuple):
    """The values of one quantity.

    Attributes:
        steps: Optimiser steps, ascending, each once.
        values: One per step, finite.
    """

    steps: list[int]
    values: list[float]


class Log(NamedTuple):
    """What a log says.

    Attributes:
        series: By the name of the quantity: `train/loss`.
        problems: What could not be read, a sentence each.
    """

    series: dict[str, Series]
    problems: list[str]

    @property
    def last_step(self) -> int | None:
        """The last step that anything was logged of, from 0; None of an empty log."""
        return max((one.steps[-1] for one in self.series.values()), default=None)


def read_log(path: Path) -> Log:
    """The series of a run's `metrics.csv`; of two rows of one step the later holds.

    Rows and values that are no numbers are left out and counted, never refused.
    """
    try:
        content = read_start(path, LONGEST_LOG + 1)
    except OSError as error:
        return Log({}, [f"{path.name} cannot be read ({error.strerror}): there are no curves"])
    problems = []
    if len(content) > LONGEST_LOG:
        content = content[:LONGEST_LOG]
        problems.append(f"{path.name} is longer than {LONGEST_LOG >> 20} MB; its end is not shown")
    rows = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""))
    try:
        table = list(rows)
    except csv.Error as error:
        return Log({}, [f"{path.name} is damaged ({error}): there are no curves"])
    return _read_table(table, path.name, problems)


def _read_table(table: list[list[str]], name: str, problems: list[str]) -> Log:
    header, rows = (table[0], table[1:]) if table else ([], [])
    if "step" not in header:
        return Log({}, [*problems, f"{name} has no column of steps: there are no curves"])
    values: dict[str, dict[int, float]] = {}
    damaged = wild = 0
    for row in rows:
        try:
            step, numbers = _read_row(header, row)
        except ValueError:
            damaged += 1
            continue
        wild += sum(not math.isfinite(number) for number in numbers.values())
        for key, number in numbers.items():
            if math.isfinite(number):
                values.setdefault(key, {})[step] = number
    if damaged:
        problems.append(f"{damaged:,} rows of {name} are damaged and left out")
    if wild:
        problems.append(f"{wild:,} values of {name} are not finite and left out")
    return Log({key: _order(values[key]) for key in sorted(values)}, problems)


def _read_row(header: list[str], row: list[str]) -> tuple[int, dict[str, float]]:
    """The step and the numbers of a row; ValueError where it is none."""
    cells = dict(zip(header, row, strict=True))
    step = int(cells.pop("step"))
    if not 0 <= step <= LAST_STEP:
        raise ValueError
    cells.pop("epoch", None)
    return step, {key: float(cell) for key, cell in cells.items() if cell}


def _order(values: dict[int, float]) -> Series:
    steps = sorted(values)
    return Series(steps, [values[step] for step in steps])
