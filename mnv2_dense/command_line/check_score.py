"""Compares runs with the band of their recipe: `mnv2-dense check_score RUN ...`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

DESCRIPTION = """Say whether finished runs reach what their recipe reached with several seeds, which
checks an installation or a change to the code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("check_score"),
        description=DESCRIPTION,
        epilog="exit code: 0 in the band or above it, 1 below it, 2 a mistake",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run"
    )
    parser.add_argument(
        "--band",
        type=Path,
        metavar="FILE",
        help="JSON file of the recipe's scores (default: the one that comes with its config)",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="write that file, replaced if there, from runs of several seeds",
    )
    options = parser.parse_args(arguments)
    if options.record and options.band is None:
        parser.error("--record: name the file to write by --band")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.check_score import check_score, record_band

    (record_band if options.record else check_score)(options.runs, options.band)
