"""Prints a network layer by layer: `mnv2-dense summary CONFIG [key.path=value ...]`."""

import argparse
from collections.abc import Sequence

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("summary"), description="Print a network layer by layer."
    )
    parser.add_argument(
        "config", type=find_config, help="a YAML file, see configs/, or a checkpoint"
    )
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="changes to it")
    parser.add_argument("--json", action="store_true", help="only the totals, as JSON")
    parser.add_argument(
        "--classifier",
        action="store_true",
        help="count the backbone, at stride 32, under the ImageNet classifier (paper, Table 4)",
    )
    options = parser.parse_intermixed_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.config.loader import check_file

    check_file(options.config, options.overrides)

    from mnv2_dense.commands.summary import summarize

    summarize(
        options.config,
        options.overrides,
        as_json=options.json,
        classifier=options.classifier,
    )
