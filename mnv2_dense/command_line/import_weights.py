"""Trained weights of other programs: `mnv2-dense import_weights SOURCE [--out PATH]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("import_weights"),
        description="Turn TensorFlow's, TFLite's or torchvision's trained MobileNetV2 networks "
        "into a checkpoint of this project, with the config that fits it.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a .tflite file, a frozen TensorFlow graph (.pb) or its release archive, "
        "torchvision's mobilenet_v2 (.pth), or `imagenet` to download that",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key.path=value", help="changes to the config"
    )
    parser.add_argument("--out", type=Path, metavar="PATH", help="the checkpoint to write")
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FOLDER",
        help="pictures that give folded batch norms their statistics, for fine-tuning",
    )
    options = parser.parse_intermixed_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.import_weights import import_weights

    import_weights(options.source, options.overrides, out=options.out, pictures=options.calibrate)
