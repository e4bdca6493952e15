"""Writes a resized copy of a data set: `mnv2-dense prepare_cache CONFIG --out DIR`."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.config.shipped import find_config

MAX_SIDE = 65_500
"""Pixels: JPEG's own bound."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("prepare_cache"),
        description="Write a copy of a data set with smaller pictures, which loads faster. "
        "Called again, it goes on where it was stopped.",
    )
    parser.add_argument("config", type=find_config, help="a config (YAML), whose data are copied")
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help="config changes")
    parser.add_argument("--out", type=Path, required=True, help="a new folder, not in the data")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--shorter-side",
        type=_number(1, MAX_SIDE),
        metavar="N",
        help="most pixels of a picture's shorter side (default: the network's input)",
    )
    size.add_argument(
        "--longer-side", type=_number(1, MAX_SIDE), metavar="N", help="or of its longer side"
    )
    size.add_argument("--full-size", action="store_true", help="or resize none")
    parser.add_argument(
        "--quality",
        type=_number(1, 100),
        default=90,
        metavar="Q",
        help="of the JPEGs, 1 to 100; 100 copies small pictures as they are (default: 90)",
    )
    parser.add_argument("--splits", nargs="+", choices=("train", "val"), default=["train", "val"])
    parser.add_argument(
        "--workers",
        type=_number(1, 1024),
        default=os.cpu_count() or 1,
        metavar="W",
        help="pictures prepared at once (default: cores)",
    )
    options = parser.parse_intermixed_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.config.loader import check_file

    check_file(options.config, options.overrides)

    from mnv2_dense.commands.prepare_cache import prepare

    prepare(
        options.config,
        options.overrides,
        out=options.out,
        shorter_side=options.shorter_side,
        longer_side=options.longer_side,
        full_size=options.full_size,
        quality=options.quality,
        splits=options.splits,
        workers=options.workers,
    )


def _number(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number between two others."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {least} to {most}")
        return int(text)

    return read
