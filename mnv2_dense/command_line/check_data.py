"""Checks a data set: `mnv2-dense check_data CONFIG_OR_FOLDER [key.path=value ...]`."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command; the code says how bad the data are."""
    options = read_options(arguments)
    levels: list[int] = []
    code = run_command(lambda: levels.append(run(options)))
    return code or levels[0]


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("check_data"),
        description="Read all pictures and annotations once and report what is wrong.",
        epilog="Exit code 0: clean (notes at most), 1: problems, 2: training refuses the data.",
    )
    parser.add_argument("source", type=find_config, help="a config (YAML), or a data set's folder")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="config changes")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for report.json and index.html, outside of the data "
        "(default: data_check/NAME)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        help="files decoded at once (default: cores)",
    )
    parser.add_argument("--no-page", action="store_true", help="write report.json alone")
    options = parser.parse_intermixed_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs is a number of at least 1, not {options.jobs}")
    return options


def run(options: argparse.Namespace) -> int:
    """Does what the options ask for."""
    from mnv2_dense.commands.check_data import check_data

    return check_data(
        options.source,
        options.overrides,
        out=options.out,
        jobs=options.jobs,
        page=not options.no_page,
    )
