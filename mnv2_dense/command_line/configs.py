"""The configs that come with the package: `mnv2-dense configs [NAME]`."""

import argparse
from collections.abc import Sequence

from mnv2_dense.cli import program, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("configs"),
        description="List the configs that come with the package, or copy one to be changed. "
        "Every command takes them by their file names, too.",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="write a copy of this one into the current folder"
    )
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.configs import copy_config, list_configs

    if options.name is None:
        list_configs()
    else:
        copy_config(options.name)
