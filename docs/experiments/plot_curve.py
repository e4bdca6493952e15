"""Draws columns of a run's metrics.csv over its steps as an SVG picture.

python docs/experiments/plot_curve.py RUN/metrics.csv --out OUT.svg --columns train/loss val/mAP
"""

import argparse
import csv
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP = 640, 150, 50, 24
COLORS = ("#1f6fb2", "#c44536", "#3a7d44", "#8a5a99")

Points = list[tuple[float, float]]


def read_column(rows: list[dict[str, str]], name: str) -> Points:
    """(step, value) of the rows that hold a value."""
    return [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]


def draw_panel(name: str, points: Points, top: int, color: str) -> str:
    """One curve in a frame of its own, from 0 to its largest value."""
    last, largest = points[-1][0] or 1, max(value for _, value in points) or 1
    places = (
        f"{LEFT + step / last * (WIDTH - LEFT - 10):.1f},{top + HEIGHT * (1 - value / largest):.1f}"
        for step, value in points
    )
    text = '<text x="{}" y="{}" font-family="sans-serif" font-size="12">{}</text>'
    return "\n".join(
        [
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 10}" height="{HEIGHT}" '
            'fill="none" stroke="#999"/>',
            text.format(LEFT, top - 6, f"{name}: last {points[-1][1]:.4g}"),
            text.format(4, top + 10, f"{largest:.3g}"),
            text.format(4, top + HEIGHT, "0"),
            text.format(WIDTH - 90, top + HEIGHT + 14, f"step {last:.0f}"),
            f'<polyline fill="none" stroke="{color}" points="{" ".join(places)}"/>',
        ]
    )


def main() -> None:
    """Reads the command line and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metrics", type=Path, nargs="+", help="metrics.csv files, in order")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", nargs="+", default=["train/loss", "val/mAP", "val/AP50"])
    options = parser.parse_args()
    rows: list[dict[str, str]] = []
    for path in options.metrics:
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    panels = [
        draw_panel(name, read_column(rows, name), TOP + i * (HEIGHT + 44), COLORS[i % len(COLORS)])
        for i, name in enumerate(options.columns)
    ]
    height = len(panels) * (HEIGHT + 44)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">'
    body = "\n".join(['<rect width="100%" height="100%" fill="white"/>', *panels])
    options.out.write_text(f"{svg}\n{body}\n</svg>\n")


if __name__ == "__main__":
    main()
