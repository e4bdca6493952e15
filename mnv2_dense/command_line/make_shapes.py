"""Draws the built-in data set: `mnv2-dense make_shapes ROOT [--train N] [--seed S] ...`."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.shapes.dataset import SIZE, TRAIN_IMAGES, VAL_IMAGES, generate


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("make_shapes"), description="Draw the built-in data set of shapes."
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder to make")
    for name, default, unit, meaning in (
        ("--train", TRAIN_IMAGES, "N", "training pictures"),
        ("--val", VAL_IMAGES, "N", "validation pictures"),
        ("--size", SIZE, "PX", "side of a picture"),
        ("--seed", 0, "S", "seed of all scenes"),
    ):
        text = f"{meaning} (default {default})"
        parser.add_argument(name, type=int, default=default, metavar=unit, help=text)
    options = parser.parse_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Draws the set and says so in one line."""
    start = time.monotonic()
    generate(
        options.root,
        train_images=options.train,
        val_images=options.val,
        size=options.size,
        seed=options.seed,
    )
    print(
        f"{options.root}: {options.train} training and {options.val} validation pictures "
        f"of {options.size} px, seed {options.seed}, {time.monotonic() - start:.1f} s"
    )
