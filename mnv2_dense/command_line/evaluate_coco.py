"""Scores COCO results: `mnv2-dense evaluate_coco ANNOTATIONS RESULTS`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

DESCRIPTION = """Print COCO's twelve numbers for boxes and the scores of every class, as pycocotools
computes them, many times faster."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(program("evaluate_coco"), description=DESCRIPTION)
    parser.add_argument("annotations", type=Path, help="COCO's instances file, as JSON")
    parser.add_argument(
        "results",
        type=Path,
        help="JSON list of detections: image_id, category_id, bbox [x, y, width, height], score",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON file for all numbers, replaced if there"
    )
    parser.add_argument(
        "--backend",
        choices=("mnv2_dense", "pycocotools"),
        default="mnv2_dense",
        help="what computes: this project, or pycocotools itself; the same numbers "
        "(default: mnv2_dense)",
    )
    options = parser.parse_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.evaluate_coco import evaluate_coco

    evaluate_coco(options.annotations, options.results, out=options.out, backend=options.backend)
