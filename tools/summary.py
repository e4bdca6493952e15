"""Prints a network layer by layer: `python tools/summary.py CONFIG [key.path=value ...]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(description="Print a network layer by layer.")
    parser.add_argument("config", type=Path, help="a YAML file, see configs/, or a checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="changes to it")
    parser.add_argument("--json", action="store_true", help="only the totals, as JSON")
    parser.add_argument(
        "--classifier",
        action="store_true",
        help="count the backbone, at stride 32, under the ImageNet classifier (paper, Table 4)",
    )
    options = parser.parse_intermixed_args(arguments)
    return run_command(lambda: run(options))


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


if __name__ == "__main__":
    sys.exit(main())
