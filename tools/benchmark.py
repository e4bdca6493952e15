"""Times on this machine: `python tools/benchmark.py predict`, or another of its kinds."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import run_command

HELP = """what is measured:
  predict   prediction with every engine, beside torchvision and the bare runtimes
  formats   score, size and time of a checkpoint in every format, float32 and int8
  training  a training step beside its parts and torchvision's, Lightning beside a loop by hand
  startup   commands that need no network: help, a config, a mistake in one

`benchmark.py WHAT --help` says more."""
PREDICT_HELP = """No checkpoint and no data are needed: the networks have random weights, fitted so
that decoding has as much to do as with trained ones. It takes some ten minutes on two
cores.

lines of the tables, in milliseconds:
  ours by ENGINE, ...          a decoded picture to boxes (at a score threshold), or to the label
                               map (of a picture of that size): resizing, network, decoding
  torchvision, ...             the same by ssdlite320_mobilenet_v3_large or
                               deeplabv3_mobilenet_v3_large; "by max(1)": with a faster argmax
  ONNX file alone, ...         the exported file, on a picture that is resized already
  ONNX Runtime, network alone  bare ONNX Runtime: no resizing, decoding, NMS or up-sampling
  TFLite runtime               the file of --tflite, on a prepared input
  eager, folded network        plain PyTorch up to the raw outputs: as trained, and with batch norms
                               folded, channels last

Then the ratios of medians, and of each call's fastest, beside their targets ("reached", "MISSED"; a
missed one does not change the exit code, 0). On a machine that does other work, too, only ratios
mean something, and only with tens of repetitions. An engine whose library is not installed is named
as left out; pip install 'mnv2-dense[onnx]', [openvino] or [litert] adds it.

examples:
  python tools/benchmark.py predict
  python tools/benchmark.py predict --task detection --threads 1 --out figures.json
  python tools/benchmark.py predict --task segmentation --models int8.onnx --pictures FOLDER"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(
        description="Measure how fast the networks are here.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=(*BENCHMARKS,))
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    return BENCHMARKS[given.what](given.rest)


def measure_prediction(arguments: Sequence[str]) -> int:
    """Reads what to time, and times it."""
    parser = argparse.ArgumentParser(
        "benchmark.py predict",
        description="Time whole calls of SSDLite 320 and DeepLabv3 513 with every engine that is "
        "installed,\nbeside torchvision, ONNX Runtime and the TFLite runtime, in one interleaved "
        "run of batch 1;\nthen a folder of pictures, and the start of a process.",
        epilog=PREDICT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_counts(parser)
    parser.add_argument(
        "--engines",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only these of onnx, openvino, litert, torch_export, torch (default: all installed); "
        "bare ONNX Runtime is timed if onnx is among them",
    )
    parser.add_argument("--task", choices=("detection", "segmentation"), help="default: both")
    parser.add_argument(
        "--models",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="files of tools/export.py to time too, as those of --int8, beside the network of "
        "their task and input (320x320 or 513x513)",
    )
    parser.add_argument(
        "--tflite",
        type=Path,
        metavar="FILE",
        help="a segmenter of 513x513 of any origin, to time the TFLite runtime alone on, from its "
        "input to its output; meant is the authors' deeplabv3_mnv2_pascal_quant.tflite",
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="the first 64 pictures below it are used, the first one for single calls (default: "
        "drawn ones)",
    )
    add_out(parser)
    options = parser.parse_args(arguments)
    check_counts(parser, options)
    return run_command(lambda: run_prediction(options))


def run_prediction(options: argparse.Namespace) -> None:
    """Times prediction."""
    from mnv2_dense.commands.benchmark_prediction import Wanted, benchmark_predict

    benchmark_predict(Wanted(**vars(options)))


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

    compare_formats(**vars(options))


def measure_training(arguments: Sequence[str]) -> int:
    """Reads what to time of training, and times it."""
    parser = argparse.ArgumentParser(
        "benchmark.py training",
        description="Time training steps of SSDLite 320 and DeepLabv3 513 on the CPU, beside "
        "torchvision's networks and in another memory format; the loss and the average of the "
        "weights as shares of a step; and a run of Lightning beside a loop by hand.",
    )
    add_counts(parser)
    parser.add_argument(
        "--task",
        nargs="+",
        choices=("detection", "segmentation"),
        default=["detection", "segmentation"],
        help="default: both",
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="default: 8 of detection, 4 of segmentation"
    )
    parser.add_argument(
        "--compiled", action="store_true", help="time the compiled network, too (minutes to begin)"
    )
    add_out(parser)
    options = parser.parse_args(arguments)
    check_counts(parser, options)
    return run_command(lambda: run_training(options))


def run_training(options: argparse.Namespace) -> None:
    """Times training."""
    from mnv2_dense.commands.benchmark_training import benchmark_training

    benchmark_training(**vars(options))


def measure_startup(arguments: Sequence[str]) -> int:
    """Times commands that need no network."""
    parser = argparse.ArgumentParser(
        "benchmark.py startup", description="Time commands that need no network, from the start."
    )
    add_counts(parser)
    add_out(parser)
    options = parser.parse_args(arguments)
    check_counts(parser, options)
    return run_command(lambda: run_startup(options))


def run_startup(options: argparse.Namespace) -> None:
    """Times commands."""
    from mnv2_dense.commands.benchmark_startup import benchmark_startup

    benchmark_startup(Path(__file__).parent, **vars(options))


def add_out(parser: argparse.ArgumentParser) -> None:
    """The file of the figures."""
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON file for all figures, replaced if there"
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


BENCHMARKS = {
    "predict": measure_prediction,
    "formats": measure_formats,
    "training": measure_training,
    "startup": measure_startup,
}

if __name__ == "__main__":
    sys.exit(main())
