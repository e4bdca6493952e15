"""Says where a detector loses its AP: `mnv2-dense analyze_errors ANNOTATIONS RESULTS`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

DESCRIPTION = """Print how much AP at IoU 0.5 is lost to wrong classes, wrong places, both,
duplicates, background and misses, as TIDE defines it, in total and by class, and which classes are
confused."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(program("analyze_errors"), description=DESCRIPTION)
    parser.add_argument("annotations", type=Path, help="COCO's instances file, as JSON")
    parser.add_argument(
        "results",
        type=Path,
        help="JSON list of detections: image_id, category_id, bbox [x, y, width, height], score",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON file for all numbers, replaced if there"
    )
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.analyze_errors import analyze_errors

    analyze_errors(options.annotations, options.results, out=options.out)
