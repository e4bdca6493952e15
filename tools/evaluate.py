"""Measures a checkpoint: `python tools/evaluate.py CHECKPOINT_OR_CONFIG [key.path=value ...]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(description="Print and write the scores of a checkpoint.")
    parser.add_argument("source", type=Path, help="a checkpoint, or a config with --weights")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="config changes")
    parser.add_argument("--weights", type=Path, help="checkpoint to measure by a config")
    parser.add_argument(
        "--out", type=Path, help="folder for the files (default: evaluation-NAME in the run)"
    )
    parser.add_argument(
        "--pictures", type=int, default=0, help="pictures to draw, ground truth beside predictions"
    )
    options = parser.parse_intermixed_args(arguments)
    if options.pictures < 0:
        parser.error(f"--pictures is a number of at least 0, not {options.pictures}")
    return run_command(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.evaluate import evaluate

    evaluate(
        options.source,
        options.overrides,
        weights=options.weights,
        out=options.out,
        pictures=options.pictures,
    )


if __name__ == "__main__":
    sys.exit(main())
