"""Proof of an import: `mnv2-dense verify_weights FILE.tflite CHECKPOINT [PICTURE ...]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

EXIT_DIFFERENT = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command; 1 says that the two are not the same."""
    options = read_options(arguments)
    same: list[bool] = []
    code = run_command(lambda: same.append(run(options)))
    return code or (0 if same == [True] else EXIT_DIFFERENT)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("verify_weights"),
        description="Run a .tflite file and the checkpoint that was imported from it side by "
        "side: all layers and outputs on pictures, scores on the validation set.",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the .tflite file")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="its import")
    parser.add_argument(
        "pictures",
        nargs="*",
        metavar="PICTURE",
        help="pictures, folders of pictures, and key.path=value changes to the config",
    )
    parser.add_argument(
        "--score",
        action="store_true",
        help="evaluate both on the validation set of the config (data.root=... says where)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    options = parser.parse_intermixed_args(arguments)
    # A picture may have `=` in its name; what is no file and has one is a change to the config.
    options.overrides = [
        text for text in options.pictures if "=" in text and not Path(text).exists()
    ]
    options.pictures = [Path(text) for text in options.pictures if text not in options.overrides]
    if not options.pictures and not options.score:
        parser.error("give at least one picture or folder, or --score")
    return options


def run(options: argparse.Namespace) -> bool:
    """Does what the options ask for."""
    from mnv2_dense.commands.verify_weights import verify_weights

    return verify_weights(
        options.source,
        options.checkpoint,
        options.pictures,
        options.overrides,
        score=options.score,
        report=options.json,
    )
