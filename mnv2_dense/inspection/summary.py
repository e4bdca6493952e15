"""An inspection's result as text for a terminal, and as JSON for programs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnv2_dense.config.document import write_value
from mnv2_dense.formats.problems import Level, Problem, group, total
from mnv2_dense.inspection.report import Histogram, Report
from mnv2_dense.ops.texts import list_first

NAMES = {Level.ERROR: "error", Level.PROBLEM: "problem", Level.NOTE: "note"}
VERDICTS = {
    Level.ERROR: "unusable: training refuses these data",
    Level.PROBLEM: "problems: training works, but something is left out, changed or doubtful",
    Level.NOTE: "clean",
}
_BAR = 16  # letters
_ROWS = 30
"""Longest class table; of more classes the largest and the smallest are shown."""


def summarize(report: Report) -> str:
    """Facts by split, problems by kind, the class table and the histograms."""
    parts = [
        f"{report.source}: {report.task}",
        write_section(report.data),
        _facts(report.facts),
        "\n".join(_problems(report.problems)),
        *("\n".join(_histogram(each)) for each in report.histograms),
        f"{VERDICTS[report.level]} ({count_levels(report)}); {_time(report)}",
    ]
    return "\n\n".join(part for part in parts if part)


def write_section(data: Mapping[str, object]) -> str:
    """A data section as a config has it."""
    return "\n".join(["data:", *(f"  {key}: {write_value(data[key])}" for key in data)])


def to_json(report: Report) -> dict[str, Any]:
    """Everything but the pictures, in plain values."""
    return {
        "source": report.source,
        "task": report.task,
        "data": report.data,
        "level": NAMES[report.level],
        "exit_code": int(report.level),
        "facts": report.facts,
        "problems": [
            {**problem._asdict(), "level": NAMES[problem.level]} for problem in report.problems
        ],
        "histograms": [each._asdict() for each in report.histograms],
        "seconds": round(report.seconds, 3),
        "seconds_per_1000_images": seconds_per_1000(report),
    }


def seconds_per_1000(report: Report) -> float | None:
    """Of the whole inspection; None if there are no images."""
    images = sum(facts.get("images", 0) for facts in report.facts.values())
    return round(1000 * report.seconds / images, 3) if images else None


def count_levels(report: Report) -> str:
    """`2 errors, 1 problem, 30 notes`."""
    counts = dict.fromkeys(NAMES, 0)
    for problem in report.problems:
        counts[problem.level] += problem.count
    return ", ".join(
        f"{count:,} {NAMES[level]}{'s' * (count != 1)}" for level, count in counts.items()
    )


def _time(report: Report) -> str:
    per_1000 = seconds_per_1000(report)
    rate = "" if per_1000 is None else f", {per_1000:.1f} s per 1,000 images"
    return f"{report.seconds:.1f} s{rate}"


def _facts(facts: Mapping[str, Mapping[str, float]]) -> str:
    names = dict.fromkeys(name for found in facts.values() for name in found)
    rows = [("", *facts)]
    for name in names:
        rows.append((name, *(_number(found.get(name)) for found in facts.values())))
    return _table(rows) if facts else ""


def _problems(problems: Sequence[Problem]) -> Iterator[str]:
    groups = sorted(group(problems).values(), key=lambda found: -found[0].level)
    for found in groups:
        first = found[0]
        named = [problem for problem in found if problem.place]
        places = list_first([problem.place for problem in named], total(named))
        count = f" {total(found):,} x" if len(found) > 1 else ""
        yield f"{NAMES[first.level].upper()}{count} {first.kind}: {first.title} {places}".rstrip()
        if first.remedy:
            yield f"    -> {first.remedy.lstrip('.;, ')}"


def _histogram(histogram: Histogram) -> Iterator[str]:
    counts = histogram.counts
    yield histogram.title
    totals = {split: sum(found) for split, found in counts.items()}
    rows: list[tuple[str, ...]] = [("", *counts)]
    for place in _shown(histogram):
        label = histogram.labels[place]
        cells = [_share(found[place], totals[split]) for split, found in counts.items()]
        rows.append((label, *cells))
    yield _table(rows)
    hidden = len(histogram.labels) - (len(rows) - 1)
    if len(histogram.labels) > _ROWS:
        yield f"  and {hidden} more in report.json"


def _shown(histogram: Histogram) -> list[int]:
    """Positions of the rows: all but empty ends, or the largest and the smallest of many."""
    sums = [sum(row) for row in zip(*histogram.counts.values(), strict=True)]
    if len(sums) > _ROWS:
        most = sorted(range(len(sums)), key=lambda place: -sums[place])
        return most[: _ROWS // 2] + most[-(_ROWS // 2) :]
    filled = [place for place, count in enumerate(sums) if count]
    return list(range(filled[0], filled[-1] + 1)) if filled else []


def _share(count: int, total: int) -> str:
    share = count / total if total else 0.0
    return f"{count:>10,} {share:6.1%} {'#' * round(_BAR * share):<{_BAR}}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [f"  {row[0]:<{widths[0]}}"]
            + [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    )
