"""Writes a data set in another format: `python tools/convert_data.py SOURCE --to voc --out DIR`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(description="Write a data set in another format.")
    parser.add_argument("source", type=Path, help="a config, or the folder of a data set")
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
    return run_command(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.convert_data import convert

    convert(
        options.source, options.overrides, target=options.to, out=options.out, link=options.link
    )


if __name__ == "__main__":
    sys.exit(main())
