"""Times on this machine: `python tools/benchmark.py predict` or `formats CHECKPOINT ...`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command

HELP = """what is measured:
  predict   prediction with every engine, beside torchvision and the bare runtimes
  formats   score, size and time of a checkpoint in every format, float32 and int8

`benchmark.py predict --help` and `benchmark.py formats --help` say more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(
        description="Measure how fast the networks are here.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("predict", "formats"))
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    return (measure_prediction if given.what == "predict" else measure_formats)(given.rest)


def measure_prediction(arguments: Sequence[str]) -> int:
    """Reads what to time, and times it."""
    parser = argparse.ArgumentParser(
        "benchmark.py predict",
        description="Time whole calls of SSDLite 320 and DeepLabv3 513 with every engine that is "
        "installed, beside torchvision, ONNX Runtime and the TFLite runtime, in one interleaved "
        "run of batch 1; then a folder of pictures, and the start of a process.",
    )
    add_counts(parser)
    parser.add_argument("--engines", nargs="+", help="only these (default: all installed)")
    parser.add_argument("--task", choices=("detection", "segmentation"), help="default: both")
    parser.add_argument(
        "--models",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="exported files to time too, as int8 ones, beside the network of their task and input",
    )
    parser.add_argument(
        "--tflite", type=Path, metavar="FILE", help="time the TFLite runtime on this file, too"
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="pictures to use (default: drawn ones)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for all figures")
    options = parser.parse_args(arguments)
    check_counts(parser, options)
    return run_command(lambda: run_prediction(options))


def run_prediction(options: argparse.Namespace) -> None:
    """Times prediction."""
    from mnv2_dense.commands.benchmark import TASKS, Wanted, benchmark_predict

    benchmark_predict(
        Wanted(
            threads=options.threads,
            repetitions=options.repetitions,
            engines=tuple(options.engines or ()),
            tasks=TASKS if options.task is None else (options.task,),
            models=tuple(options.models),
            tflite=options.tflite,
            pictures=options.pictures,
            out=options.out,
        )
    )


def measure_formats(arguments: Sequence[str]) -> int:
    """Reads what to table, and tables it."""
    parser = argparse.ArgumentParser(
        "benchmark.py formats",
        description="Export a checkpoint to every format, float32 and int8, and write a table of "
        "the scores on its validation set, the sizes, and the times of whole calls.",
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of a run")
    parser.add_argument(
        "overrides", nargs="*", metavar="data.key=value", help="changes to the data of its config"
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="pictures for int8: of the kind that is measured, and not the same ones",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="of the files and of the table"
    )
    add_counts(parser)
    options = parser.parse_intermixed_args(arguments)
    check_counts(parser, options)
    return run_command(lambda: run_formats(options))


def run_formats(options: argparse.Namespace) -> None:
    """Tables the formats of a checkpoint."""
    from mnv2_dense.commands.format_table import compare_formats

    compare_formats(
        options.checkpoint,
        options.overrides,
        calibration=options.calibration,
        out=options.out,
        threads=options.threads,
        repetitions=options.repetitions,
    )


def add_counts(parser: argparse.ArgumentParser) -> None:
    """Threads and repetitions, which both have."""
    parser.add_argument("--threads", type=int, default=2, help="of everything (default 2)")
    parser.add_argument(
        "--repetitions", type=int, default=30, metavar="N", help="of every call (default 30)"
    )


def check_counts(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuses counts below 1."""
    for name in ("threads", "repetitions"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is at least 1, not {getattr(options, name)}")


if __name__ == "__main__":
    sys.exit(main())
