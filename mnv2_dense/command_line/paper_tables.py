"""The paper's tables, computed: `mnv2-dense paper_tables [--table 3|4|5|6|7|figure1]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

TABLES = ("3", "4", "5", "6", "7")
FIGURE = "figure1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("paper_tables"),
        description="Count every network of the paper's tables, beside the printed figures.",
    )
    parser.add_argument(
        "--table", choices=(*TABLES, FIGURE), help="one of them (default: all tables)"
    )
    parser.add_argument("--json", action="store_true", help="every count, as JSON")
    parser.add_argument(
        "--picture",
        type=Path,
        help="file to draw Figure 1 into (default: figure1.png, or the next free name)",
    )
    options = parser.parse_args(arguments)
    if options.picture is not None and options.table != FIGURE:
        parser.error("--picture is for --table figure1")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.paper_tables import print_figure, print_tables

    if options.table == FIGURE:
        print_figure(options.picture, as_json=options.json)
    else:
        print_tables(options.table, as_json=options.json)
