"""The arguments of both commands, read without importing torch."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

RECIPES = ("reference", "product")


def read_arguments(
    description: str, data: str, networks: str, arguments: Sequence[str] | None
) -> argparse.Namespace:
    """The options of a comparison.

    Args:
        description: Of the command.
        data: The data sets that it knows, for the help.
        networks: The networks that it knows, for the help.
        arguments: The command line, by default the process's.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help=data)
    parser.add_argument("--networks", nargs="+", required=True, metavar="NAME", help=networks)
    parser.add_argument("--seeds", nargs="+", type=_count(0), default=[0, 1, 2], metavar="N")
    parser.add_argument("--steps", type=_count(1), required=True, help="optimiser steps of a run")
    parser.add_argument("--batch", type=_count(2), default=8, help="pictures per step")
    parser.add_argument("--size", type=_side, required=True, help="side of the input in pixels")
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="the peers' own recipe, or this project's, for the peers",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="CHECKPOINT",
        help="a MobileNetV2 classifier of tools/import_weights.py that all backbones begin with "
        "(default: random weights)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results and tables")
    return parser.parse_args(arguments)


def _count(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return count


def _side(text: str) -> int:
    value = int(text)
    if value < 64 or value % 16:
        raise argparse.ArgumentTypeError(f"{value} is not a multiple of 16 from 64")
    return value
