"""A checkpoint for other runtimes: `mnv2-dense export CHECKPOINT --format FORMAT`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command

FORMATS = ("onnx", "openvino", "litert", "torch_export")


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("export"),
        description="Write a checkpoint as a file of another runtime, which takes pictures and "
        "gives final boxes or label maps, and verify it against PyTorch.",
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of a run")
    parser.add_argument(
        "overrides", nargs="*", metavar="key.path=value", help="changes to its config"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to (default: beside the checkpoint)"
    )
    parser.add_argument(
        "--int8", action="store_true", help="8-bit weights and activations, for small machines"
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="FOLDER", help="pictures that --int8 measures"
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="pictures to verify by (default: drawn)"
    )
    parser.add_argument("--height", type=int, metavar="H", help="of the input, in pixels")
    parser.add_argument("--width", type=int, metavar="W", help="of the input, in pixels")
    parser.add_argument(
        "--dynamic", action="store_true", help="let the file take pictures of any size"
    )
    parser.add_argument("--licence", metavar="TEXT", help="of the weights, kept in the file")
    options = parser.parse_intermixed_args(arguments)
    if options.dynamic and (options.height or options.width):
        parser.error("--dynamic takes any size; leave out --height and --width")
    return options


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.export import Export, export

    sides = {"height": options.height, "width": options.width}
    size = [f"input.{side}={pixels}" for side, pixels in sides.items() if pixels is not None]
    wanted = Export(
        options.format,
        options.out,
        int8=options.int8,
        calibration=options.calibration,
        pictures=options.pictures,
        dynamic=options.dynamic,
        licence=options.licence,
    )
    export(options.checkpoint, wanted, [*options.overrides, *size])
