"""Proposes anchors for a data set: `mnv2-dense fit_anchors CONFIG [key.path=value ...]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config

MAX_RATIOS = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("fit_anchors"), description="Propose anchors for the boxes of a data set."
    )
    parser.add_argument("config", type=find_config, help="a detector's YAML file, see configs/")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="changes to it")
    parser.add_argument(
        "--ratios", type=int, metavar="K", help="aspect ratios to propose (default: as many as now)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    options = parser.parse_intermixed_args(arguments)
    if options.ratios is not None and not 1 <= options.ratios <= MAX_RATIOS:
        parser.error(f"--ratios is a number from 1 to {MAX_RATIOS}, not {options.ratios}")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.config.loader import check_file

    check_file(options.config, options.overrides)

    from mnv2_dense.commands.fit_anchors import propose

    propose(options.config, options.overrides, ratios=options.ratios, report=options.json)
