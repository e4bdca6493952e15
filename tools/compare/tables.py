"""Mean and spread of finished runs: `python tools/compare/tables.py OUT [OUT ...] --to FOLDER`.

Writes results.md, results.csv and results.json.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, it finds its folder

MAIN_SCORE = {"segmentation": "mIoU", "detection": "mAP"}
SECOND_SCORE = {"segmentation": "pixel_accuracy", "detection": "AP50"}
START = {"imagenet": "from ImageNet weights", "random": "from random weights"}
HEADER = (
    *("network", "recipe", "seeds", "mean", "standard deviation", "least to most"),
    *("parameters", "multiply-adds"),
)


class Row(NamedTuple):
    """What the runs of a network by a recipe reached, over their seeds.

    `deviation` is the sample's standard deviation, None of a single run. `second` is the mean of
    the second score: pixel accuracy, or AP50.
    """

    task: str
    data: str
    start: str
    steps: int
    batch: int
    size: int
    network: str
    recipe: str
    seeds: tuple[int, ...]
    mean: float
    deviation: float | None
    least: float
    most: float
    second: float
    parameters: int
    multiply_adds: int


TABLE = ("task", "data", "start", "steps", "batch", "size")
"""What the rows of one table share."""


def summarize(results: Iterable[dict[str, Any]]) -> list[Row]:
    """A row per network and recipe; tables in the order of their keys, best mean first.

    Raises:
        UserError: Results of one table were made from other data, weights, recipes or versions.
    """
    results = list(results)
    check_sources(results)

    def place(result: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(result[key] for key in (*TABLE, "network", "recipe"))

    ordered = sorted(results, key=lambda result: (*place(result), result["seed"]))
    rows = [_row(list(runs)) for _, runs in groupby(ordered, place)]
    return sorted(rows, key=lambda row: (_table(row), -row.mean))


def check_sources(results: Iterable[dict[str, Any]]) -> None:
    """Refuses to set side by side what was made from different things.

    Raises:
        UserError: There is such a result.
    """
    from mnv2_dense.errors import UserError
    from tools.compare.sources import list_differences

    firsts: dict[tuple[Any, ...], dict[str, Any]] = {}
    for result in results:
        first = firsts.setdefault(tuple(result[key] for key in TABLE), dict(result["sources"]))
        if differences := list_differences(result["sources"], first):
            raise UserError(
                f"{result['network']}, {result['recipe']}, seed {result['seed']} cannot stand in "
                f"one table with the others: made with {'; '.join(differences)}"
            )
        first.update(result["sources"])


def _row(runs: Sequence[dict[str, Any]]) -> Row:
    first = runs[0]
    scores = [run["scores"][MAIN_SCORE[first["task"]]] for run in runs]
    return Row(
        **{key: first[key] for key in (*TABLE, "network", "recipe")},
        seeds=tuple(run["seed"] for run in runs),
        mean=mean(scores),
        deviation=stdev(scores) if len(scores) > 1 else None,
        least=min(scores),
        most=max(scores),
        second=mean(run["scores"][SECOND_SCORE[first["task"]]] for run in runs),
        parameters=first["parameters"],
        multiply_adds=first["multiply_adds"],
    )


def _table(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, key) for key in TABLE)


def to_markdown(rows: Iterable[Row]) -> str:
    """A table per task, data set and start."""
    parts: list[str] = []
    for _, group in groupby(rows, _table):
        lines = list(group)
        first = lines[0]
        header = (*HEADER[:6], f"mean {SECOND_SCORE[first.task]}", *HEADER[6:])
        parts += [
            f"## {first.task.capitalize()}, {first.data}, {START[first.start]}: "
            f"{MAIN_SCORE[first.task]}",
            f"{first.steps} steps of {first.batch} pictures, input {first.size}x{first.size}.",
            "\n".join(map(_line, [header, ["---"] * len(header), *map(_cells, lines)])),
        ]
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    return [
        *(row.network, row.recipe, ", ".join(map(str, row.seeds)), f"{row.mean:.4f}"),
        "-" if row.deviation is None else f"{row.deviation:.4f}",
        f"{row.least:.4f} to {row.most:.4f}",
        f"{row.second:.4f}",
        *(f"{row.parameters:,}", f"{row.multiply_adds:,}"),
    ]


def to_csv(rows: Iterable[Row]) -> str:
    """A line per row, with every field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in rows:
        values = row._replace(seeds=" ".join(map(str, row.seeds)))  # pyrefly: ignore
        writer.writerow(values)
    return text.getvalue()


def write_tables(results: Iterable[dict[str, Any]], folder: Path) -> str:
    """Writes the three files; returns the Markdown."""
    rows = summarize(results)
    folder.mkdir(parents=True, exist_ok=True)
    markdown = to_markdown(rows)
    (folder / "results.md").write_text(markdown, encoding="utf-8")
    (folder / "results.csv").write_text(to_csv(rows), encoding="utf-8")
    content = json.dumps([row._asdict() for row in rows], indent=2)
    (folder / "results.json").write_text(f"{content}\n", encoding="utf-8")
    return markdown


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and writes the tables."""
    from mnv2_dense.cli import run_command

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="+", help="folders of tools/compare's commands")
    parser.add_argument("--to", type=Path, required=True, help="folder of the tables")
    options = parser.parse_args(arguments)
    return run_command(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.errors import UserError
    from tools.compare.runs import read_results

    results = [result for out in options.out for result in read_results(out)]
    if not results:
        raise UserError(f"{', '.join(map(str, options.out))}: no run has finished there")
    print(write_tables(results, options.to))


if __name__ == "__main__":
    sys.exit(main())
