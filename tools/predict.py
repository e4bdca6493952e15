"""Draws boxes on pictures: `python tools/predict.py SOURCE ... --weights PATH`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(description="Draw the detections of a checkpoint.")
    parser.add_argument("sources", type=Path, nargs="+", help="pictures, or folders of pictures")
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint of a run")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="output folder")
    parser.add_argument(
        "--score-threshold", type=float, default=0.3, help="lowest score shown, 0 to 1"
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.score_threshold <= 1:
        parser.error(f"--score-threshold is from 0 to 1, not {options.score_threshold}")
    return run_command(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.predict import predict

    predict(
        options.sources,
        weights=options.weights,
        out=options.out,
        score_threshold=options.score_threshold,
    )


if __name__ == "__main__":
    sys.exit(main())
