"""Cost curves: time and memory over images, classes, boxes per picture and input size.

measure.py OUT [WHAT ...] writes OUT/curves.csv and OUT/*.svg, each point from a process of its own
(points.py). The last column is the exponent between a point and the one before: 1 is as fast as
the input grows, where the input of a side is its square.
"""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
ENTRIES = (100, 1_000, 10_000, 100_000)
NUMBERS = (10, 30, 100, 300, 1_000)
FEW_NUMBERS = (2, 10, 30, 100, 254)
BOXES = (1, 5, 20, 100, 500)
SIDES = (160, 320, 512, 768, 1024)
AXES: dict[str, tuple[int, ...]] = {
    "start, entries": ENTRIES,
    "evaluation, entries": ENTRIES,
    "evaluation, classes": NUMBERS,
    "evaluation, boxes per picture": BOXES,
    "training step, classes": NUMBERS,
    "training step, boxes per picture": BOXES,
    "matching and loss, boxes per picture": BOXES,
    "training step, input side": SIDES,
    "decoding, classes": NUMBERS,
    "decoding, input side": SIDES,
    "segmenter's step, input side": SIDES,
    "segmenter's step, classes": FEW_NUMBERS,
    "segmenter's validation, input side": SIDES,
    "segmenter's validation, classes": FEW_NUMBERS,
}
COLUMNS = ["what", "value", "seconds", "mebibytes", "exponent"]


def measure(what: str, values: tuple[int, ...]) -> list[dict[str, Any]]:
    """The points of a curve, each with the exponent of its time since the one before."""
    rows: list[dict[str, Any]] = []
    for value in values:
        command = [sys.executable, str(HERE / "points.py"), what, str(value)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row = {"what": what, "value": value, **rounded(json.loads(output.splitlines()[-1]))}
        row["exponent"] = exponent(rows[-1], row) if rows else ""
        rows.append(row)
        print(" ".join(f"{row[name]}" for name in COLUMNS), flush=True)
    return rows


def rounded(point: dict[str, float]) -> dict[str, float]:
    """As many digits as mean something."""
    return {"seconds": float(f"{point['seconds']:.3g}"), "mebibytes": round(point["mebibytes"], 1)}


def exponent(before: dict[str, Any], row: dict[str, Any]) -> float:
    """Of the time, over the size of the input."""
    grown = math.log(row["value"] / before["value"]) * (2 if "side" in row["what"] else 1)
    return round(math.log(row["seconds"] / before["seconds"]) / grown, 2)


def draw(what: str, rows: list[dict[str, Any]], path: Path) -> None:
    """Time and memory of a curve, on logarithmic axes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    values = [row["value"] for row in rows]
    for axes, name in ((left, "seconds"), (right, "mebibytes")):
        axes.plot(values, [max(row[name], 1e-4) for row in rows], marker="o")
        axes.set(xscale="log", yscale="log", xlabel=what.partition(", ")[2], ylabel=name)
        axes.grid(alpha=0.3)
    figure.suptitle(what)
    figure.savefig(path)
    plt.close(figure)


def main(out: Path, whats: list[str]) -> None:
    """Measures the curves that are named, or all, and writes them beside those already there."""
    out.mkdir(parents=True, exist_ok=True)
    table = out / "curves.csv"
    rows = []
    if table.exists():
        with table.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["what"] not in (whats or AXES)]
    for what in whats or AXES:
        found = measure(what, AXES[what])
        name = what.replace("'s", "").replace(", ", "_").replace(" ", "_")
        draw(what, found, out / f"{name}.svg")
        rows += found
    order = list(AXES)
    rows.sort(key=lambda row: (order.index(row["what"]), int(row["value"])))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
