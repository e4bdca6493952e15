"""Writes a data set in another format: `mnv2-dense convert_data SOURCE --to voc --out DIR`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("convert_data"), description="Write a data set in another format."
    )
    parser.add_argument("source", type=find_config, help="a config, or the folder of a data set")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="changes to it")
    parser.add_argument(
        "--to",
        required=True,
        choices=("coco", "voc", "yolo", "masks"),
        help="COCO's, VOC's or YOLO's files of boxes; of segmentation: folders of index masks",
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder, not in the data")
    parser.add_argument(
        "--link", action="store_true", help="symbolic links to the pictures instead of copies"
    )
    options = parser.parse_intermixed_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.convert_data import convert

    convert(
        options.source, options.overrides, target=options.to, out=options.out, link=options.link
    )
