"""Times on this machine: `python tools/benchmark.py predict`, or another of its kinds."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.cli import run_command

TASKS = ("detection", "segmentation")
HELP = """what is measured:
  predict     prediction with every engine, beside torchvision and the bare runtimes
  formats     score, size and time of a checkpoint in every format, float32 and int8
  training    a training step beside its parts and torchvision's, Lightning beside a loop by hand
  loading     samples of training from picture files, beside torchvision's presets
  cache       the same from a resized copy of a data set, beside its originals
  evaluation  the twelve numbers of COCO and the confusion matrix, beside other programs
  startup     commands that need no network: help, a config, a mistake in one

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


class Kind(NamedTuple):
    """A kind of benchmark.

    Attributes:
        description: What it times.
        add: Adds its own arguments.
        run: Times what the options ask for.
        epilog: More of its help.
    """

    description: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    epilog: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    parser = argparse.ArgumentParser(
        description="Measure how fast the networks are here.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=(*KINDS,))
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    kind = KINDS[given.what]
    options = read_options(given.what, kind, given.rest)
    return run_command(lambda: kind.run(options))


def read_options(name: str, kind: Kind, arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a kind, checked."""
    parser = argparse.ArgumentParser(
        f"benchmark.py {name}",
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


def add_prediction(parser: argparse.ArgumentParser) -> None:
    """What to predict with."""
    parser.add_argument(
        "--engines",
        nargs="+",
        default=[],
        metavar="NAME",
        help="only these of onnx, openvino, litert, torch_export, torch (default: all installed); "
        "bare ONNX Runtime is timed if onnx is among them",
    )
    parser.add_argument("--task", choices=TASKS, help="default: both")
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


def run_prediction(options: argparse.Namespace) -> None:
    """Times prediction."""
    from mnv2_dense.commands.benchmark_prediction import Wanted, benchmark_predict

    benchmark_predict(Wanted(**vars(options)))


def add_formats(parser: argparse.ArgumentParser) -> None:
    """What to export."""
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of a run")
    add_overrides(parser, "changes to the data of its config")
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


def run_formats(options: argparse.Namespace) -> None:
    """Tables the formats of a checkpoint."""
    from mnv2_dense.commands.format_table import compare_formats

    compare_formats(**vars(options))


def add_training(parser: argparse.ArgumentParser) -> None:
    """What to train."""
    add_task(parser)
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="default: 8 of detection, 4 of segmentation"
    )
    parser.add_argument(
        "--compiled", action="store_true", help="time the compiled network, too (minutes to begin)"
    )


def run_training(options: argparse.Namespace) -> None:
    """Times training."""
    from mnv2_dense.commands.benchmark_training import benchmark_training

    benchmark_training(**vars(options))


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Which data to load."""
    for name in ("coco", "voc"):
        help_text = f"data in {name.upper()}'s layout (default: drawn scenes)"
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER", help=help_text)
    parser.add_argument(
        "--pictures", type=int, default=32, metavar="N", help="of each set (default 32)"
    )


def run_loading(options: argparse.Namespace) -> None:
    """Times loading."""
    from mnv2_dense.commands.benchmark_loading import benchmark_loading

    benchmark_loading(**vars(options))


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Which data to copy."""
    parser.add_argument("config", type=Path, help="a YAML file, see configs/")
    add_overrides(parser, "changes to it")
    parser.add_argument(
        "--shorter-side", type=int, nargs="+", default=[], metavar="N", help="of further copies"
    )


def run_cache(options: argparse.Namespace) -> None:
    """Times samples from copies."""
    from mnv2_dense.config.loader import check_file

    check_file(options.config, options.overrides)

    from mnv2_dense.commands.benchmark_cache import benchmark_cache

    benchmark_cache(**vars(options))


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """What to evaluate."""
    add_task(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="a segmenter of 513x513, to time its own answers and its validation, too",
    )
    parser.add_argument(
        "--slow-repetitions",
        type=int,
        default=3,
        metavar="N",
        help="of peers that take a minute and more (default 3)",
    )
    add_overrides(parser, "changes to its config")


def run_evaluation(options: argparse.Namespace) -> None:
    """Times evaluation."""
    from mnv2_dense.commands.benchmark_evaluation import benchmark_evaluation

    benchmark_evaluation(**vars(options))


def add_nothing(_: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def run_startup(options: argparse.Namespace) -> None:
    """Times commands."""
    from mnv2_dense.commands.benchmark_startup import benchmark_startup

    benchmark_startup(Path(__file__).parent, **vars(options))


def add_task(parser: argparse.ArgumentParser) -> None:
    """One task or both."""
    parser.add_argument("--task", nargs="+", choices=TASKS, default=[*TASKS], help="default: both")


def add_overrides(parser: argparse.ArgumentParser, what: str) -> None:
    """Changes to a config."""
    parser.add_argument("overrides", nargs="*", metavar="key.path=value", help=what)


KINDS = {
    "predict": Kind(
        "Time whole calls of SSDLite 320 and DeepLabv3 513 with every engine that is installed,\n"
        "beside torchvision, ONNX Runtime and the TFLite runtime, in one interleaved run of batch "
        "1;\nthen a folder of pictures, and the start of a process.",
        add_prediction,
        run_prediction,
        PREDICT_HELP,
    ),
    "formats": Kind(
        "Export a checkpoint to every format, float32 and int8, and write a table of the scores\n"
        "on its validation set, the sizes, and the times of whole calls.",
        add_formats,
        run_formats,
    ),
    "training": Kind(
        "Time training steps of SSDLite 320 and DeepLabv3 513 on the CPU, beside torchvision's\n"
        "networks and in another memory format; the loss and the average of the weights as shares\n"
        "of a step; and a run of Lightning beside a loop by hand.",
        add_training,
        run_training,
    ),
    "loading": Kind(
        "Time training samples on one thread, from picture files to what a loader hands over,\n"
        "beside torchvision's reference presets.",
        add_loading,
        run_loading,
    ),
    "cache": Kind(
        "Time training samples on one thread from resized copies of a data set, as of\n"
        "tools/prepare_cache.py, which are made in a temporary folder, beside the originals.",
        add_cache,
        run_cache,
    ),
    "evaluation": Kind(
        "Time COCO's evaluation of boxes beside pycocotools, faster-coco-eval and torchmetrics on\n"
        "500,000 drawn detections (half an hour), and the confusion matrix and up-sampling of\n"
        "label maps beside the usual ways.",
        add_evaluation,
        run_evaluation,
    ),
    "startup": Kind(
        "Time commands that need no network, each in a fresh process.", add_nothing, run_startup
    ),
}
"""By name on the command line."""

if __name__ == "__main__":
    sys.exit(main())
