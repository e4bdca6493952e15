"""Brings a public data set: `mnv2-dense download_data coco|voc|sbd [--root DIR]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

DATA_SETS = ("coco", "voc", "sbd")


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("download_data"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Fetch a public data set, check and unpack it where the configs expect it:\n"
        "  coco  COCO 2017, train and val, to ROOT/coco (20 GB to fetch, 41 GB of disk)\n"
        "  voc   Pascal VOC 2012 to ROOT/VOCdevkit/VOC2012 (2 GB to fetch, 4 GB of disk)\n"
        "  sbd   the masks of augmented VOC, beside VOC's own; needs voc (1.4 GB to fetch)\n"
        "Stopped at any point, the same command goes on. Archives that are put into\n"
        "ROOT/downloads by hand are taken from there. The data keep their own licences.",
    )
    parser.add_argument("dataset", choices=DATA_SETS, help="what to bring")
    parser.add_argument(
        "--root", type=Path, default=Path("data"), metavar="DIR", help="(default: data)"
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="keep the archives in ROOT/downloads"
    )
    options = parser.parse_args(arguments)
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.download_data import download_data

    download_data(options.dataset, root=options.root, keep_archives=options.keep_archives)
