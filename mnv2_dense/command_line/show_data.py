"""Shows what the network gets: `mnv2-dense show_data CONFIG [key.path=value ...]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config

MOST = 100
"""Samples on one sheet: more would be no picture to look at."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("show_data"),
        description="Draw training samples as the network gets them, augmented and resized, with "
        "their boxes or masks, on one sheet. Only the normalisation, which moves nothing, is left "
        "out. Void is hatched.",
    )
    parser.add_argument("source", type=find_config, help="a config, or a checkpoint for its config")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="config changes")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="which pictures")
    parser.add_argument(
        "--count", type=int, default=16, help="samples to show, or epochs with --image (16)"
    )
    parser.add_argument("--epoch", type=int, help="the epoch to show, from 1 (the default)")
    parser.add_argument(
        "--image", help="show this one, by id or file: as stored, then in --count epochs"
    )
    parser.add_argument(
        "--out", type=Path, help="file to write (default: NAME-SPLIT.png, or the next free name)"
    )
    options = parser.parse_intermixed_args(arguments)
    if not 1 <= options.count <= MOST:
        parser.error(f"--count is a number from 1 to {MOST}, not {options.count}")
    if options.epoch is not None and options.epoch < 1:
        parser.error(f"--epoch is a number of at least 1, not {options.epoch}")
    if options.epoch is not None and options.split == "val":
        parser.error("--epoch is for --split train; validation is the same in every epoch")
    if options.out is not None and options.out.suffix.lower() != ".png":
        parser.error(f"--out is a .png file, not {options.out}")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.config.loader import check_file

    check_file(options.source, options.overrides)

    from mnv2_dense.commands.show_data import show_data

    show_data(
        options.source,
        options.overrides,
        split=options.split,
        count=options.count,
        epoch=options.epoch or 1,
        image=options.image,
        out=options.out,
    )
