"""Writes a run's page: `mnv2-dense report RUN [data.root=FOLDER]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("report"),
        description="Write what became of a run as one HTML page: curves, scores, mistakes, "
        "pictures, config.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="OUTPUT/NAME/DATE-TIME")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="data.key=value",
        help="where the data are now: data.root=FOLDER; of a joint run "
        "detection.data.root=FOLDER and segmentation.data.root=FOLDER",
    )
    parser.add_argument("--out", type=Path, help="the page (default: report.html in the run)")
    parser.add_argument(
        "--pictures",
        type=int,
        default=6,
        metavar="N",
        help="of the best and of the worst so many are shown (default: 6)",
    )
    options = parser.parse_intermixed_args(arguments)
    if options.pictures < 0:
        parser.error(f"--pictures is a number of at least 0, not {options.pictures}")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.report import report

    report(options.folder, options.overrides, out=options.out, pictures=options.pictures)
