"""The kinds of benchmarks and what each takes."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.command_line.benchmark_prediction import (
    PREDICT_HELP,
    TASKS,
    add_prediction,
    run_prediction,
)
from mnv2_dense.config.shipped import find_config


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
    parser.add_argument("config", type=find_config, help="a YAML file, see configs/")
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


def add_joint(parser: argparse.ArgumentParser) -> None:
    """Three networks and a picture."""
    words = {"joint": "joint network", "detector": "detector", "segmenter": "segmenter"}
    for name, word in words.items():
        parser.add_argument(name, type=Path, help=f"checkpoint of a {word}")
    parser.add_argument("picture", type=Path, help="that all of them are shown")


def run_joint(options: argparse.Namespace) -> None:
    """Times joint prediction."""
    from mnv2_dense.commands.joint_benchmark import benchmark_joint

    benchmark_joint(**vars(options))


def add_nothing(_: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def run_startup(options: argparse.Namespace) -> None:
    """Times commands."""
    from mnv2_dense.commands.benchmark_startup import benchmark_startup

    benchmark_startup(**vars(options))


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
        "mnv2-dense prepare_cache, which are made in a temporary folder, beside the originals.",
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
    "joint": Kind(
        "Time a joint network beside a detector and a segmenter that are run one after the other:\n"
        "forward passes alone and whole calls, by PyTorch, in interleaved runs of batch 1.",
        add_joint,
        run_joint,
    ),
    "startup": Kind(
        "Time commands that need no network, each in a fresh process.", add_nothing, run_startup
    ),
}
"""By name on the command line."""
