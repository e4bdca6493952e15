"""Times on this machine: `mnv2-dense benchmark predict`, or another of its kinds."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command
from mnv2_dense.command_line.benchmark_kinds import KINDS, Kind

HELP = """what is measured:
  predict     prediction with every engine, beside torchvision and the bare runtimes
  formats     score, size and time of a checkpoint in every format, float32 and int8
  training    a training step beside its parts and torchvision's, Lightning beside a loop by hand
  loading     samples of training from picture files, beside torchvision's presets
  cache       the same from a resized copy of a data set, beside its originals
  evaluation  the twelve numbers of COCO and the confusion matrix, beside other programs
  joint       a joint network beside a detector and a segmenter, one after the other
  startup     commands that need no network: help, a config, a mistake in one

`%(prog)s WHAT --help` says more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    kind, options = read_command(arguments)
    return run_command(lambda: kind.run(options))


def read_command(arguments: Sequence[str] | None) -> tuple[Kind, argparse.Namespace]:
    """What is measured, and its options, checked."""
    parser = argparse.ArgumentParser(
        program("benchmark"),
        description="Measure how fast the networks are here.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=(*KINDS,))
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    kind = KINDS[given.what]
    return kind, read_options(given.what, kind, given.rest)


def read_options(name: str, kind: Kind, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a kind, checked."""
    parser = argparse.ArgumentParser(
        f"{program('benchmark')} {name}",
        description=kind.description,
        epilog=kind.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kind.add(parser)
    parser.add_argument("--threads", type=int, default=2, help="of everything (default 2)")
    parser.add_argument(
        "--repetitions", type=int, default=30, metavar="N", help="of every call (default 30)"
    )
    if name != "formats":
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="JSON file for all figures, replaced if there"
        )
    options = parser.parse_intermixed_args(arguments)
    for count in ("threads", "repetitions", "slow_repetitions", "pictures"):
        value = getattr(options, count, None)
        if isinstance(value, int) and value < 1:
            parser.error(f"--{count.replace('_', '-')} is at least 1, not {value}")
    return options
