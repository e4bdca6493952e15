"""Growth of the memory that measure.py recorded, and its curve as an SVG picture.

python docs/experiments/memory/summarize.py SAMPLES.csv --out CURVE.svg
"""

import argparse
import csv
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

EARLY, LATE = range(5, 10), 5
"""Epochs 6 to 10, counted from 0, and the number of last epochs that are held against them."""

SUMS = {"own": ("Pss_Anon", "Pss_Shmem"), "Pss": ("Pss",), "Rss": ("Rss",)}
"""`own` leaves out the pages of files, whose share depends on the machine's other processes."""

WIDTH, HEIGHT, LEFT, TOP = 640, 150, 50, 24
COLORS = ("#1f6fb2", "#c44536", "#3a7d44")

Sample = tuple[float, int, float]
"""Second, epoch and MiB."""


def keep_training(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The moments when all processes run; the final evaluation has no training loaders."""
    running = Counter(row["seconds"] for row in rows)
    most = max(running.values())
    return [row for row in rows if running[row["seconds"]] == most]


def add_up(rows: list[dict[str, str]], fields: tuple[str, ...]) -> list[Sample]:
    """The sum over all processes at each moment of training."""
    sums: dict[tuple[float, int], int] = defaultdict(int)
    for row in rows:
        if row["epoch"]:
            place = float(row["seconds"]), int(row["epoch"])
            sums[place] += sum(int(row[field]) for field in fields)
    return [(second, epoch, value / 1024) for (second, epoch), value in sums.items()]


def describe(name: str, samples: list[Sample]) -> str:
    """Means of the early and of the last epochs, and the growth between them."""
    last = max(epoch for _, epoch, _ in samples)
    early = mean(value for _, epoch, value in samples if epoch in EARLY)
    late = mean(value for _, epoch, value in samples if epoch > last - LATE)
    peak = max(value for _, _, value in samples)
    growth = 100 * (late / early - 1)
    return f"{name}: {early:.1f} MiB to {late:.1f} MiB, {growth:+.2f} %, peak {peak:.1f} MiB"


def draw_panel(text: str, samples: list[Sample], top: int, color: str) -> str:
    """One curve in a frame, from 0 to its largest value, over the seconds of the run."""
    end, largest = samples[-1][0], max(value for _, _, value in samples)
    wide = WIDTH - LEFT - 10
    places = (
        f"{LEFT + second / end * wide:.1f},{top + HEIGHT * (1 - value / largest):.1f}"
        for second, _, value in samples
    )
    font = 'font-family="sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<rect x="{LEFT}" y="{top}" width="{wide}" height="{HEIGHT}" fill="none" '
            'stroke="#999"/>',
            f'<text x="{LEFT}" y="{top - 6}" {font}>{text}</text>',
            f'<text x="4" y="{top + 10}" {font}>{largest:.0f}</text>',
            f'<text x="4" y="{top + HEIGHT}" {font}>0</text>',
            f'<text x="{WIDTH - 80}" y="{top + HEIGHT + 14}" {font}>{end:.0f} s</text>',
            f'<polyline fill="none" stroke="{color}" points="{" ".join(places)}"/>',
        ]
    )


def processes(rows: list[dict[str, str]]) -> list[str]:
    """A line per process: its own memory in the early and the last epochs."""
    lines = []
    for pid in dict.fromkeys(row["pid"] for row in rows):
        samples = add_up([row for row in rows if row["pid"] == pid], SUMS["own"])
        known = {epoch for _, epoch, _ in samples}
        if known.issuperset(EARLY):
            lines.append(describe(f"  process {pid}, own", samples))
    return lines


def main() -> None:
    """Reads the command line, prints the growth and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with options.samples.open(newline="") as file:
        rows = keep_training(list(csv.DictReader(file)))
    panels, height = [], TOP
    for (name, fields), color in zip(SUMS.items(), COLORS, strict=True):
        samples = add_up(rows, fields)
        print(text := describe(name, samples))
        panels.append(draw_panel(text, samples, height, color))
        height += HEIGHT + 44
    print(*processes(rows), sep="\n")
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">'
    back = '<rect width="100%" height="100%" fill="white"/>'
    options.out.write_text("\n".join([svg, back, *panels, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
