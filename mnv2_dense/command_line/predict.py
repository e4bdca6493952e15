"""Boxes, label maps or names of pictures: `mnv2-dense predict SOURCE ... --weights PATH`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.cli import program, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the command."""
    options = read_options(arguments)
    return run_command(lambda: run(options))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command line, checked."""
    parser = argparse.ArgumentParser(
        program("predict"),
        description="Show what a network sees in pictures: boxes, label maps, or their names.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="pictures, folders of pictures, patterns ('*.jpg'), videos, a camera's number; and "
        "key.path=value changes to the config of a checkpoint",
    )
    parser.add_argument(
        "--weights",
        required=True,
        metavar="PATH",
        help="checkpoint of a run, an exported model, weights of a MobileNetV2 "
        "classifier, or `imagenet` for torchvision's, downloaded",
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="output folder")
    parser.add_argument(
        "--score-threshold",
        type=float,
        help="of a detector: lowest score shown, 0 to 1 (default 0.3)",
    )
    parser.add_argument(
        "--top", type=int, metavar="N", help="of a classifier: classes named (default 5)"
    )
    parser.add_argument(
        "--engine",
        help="what runs the network: onnx, openvino, litert, torch_export or torch (default: the "
        "best one for the file that is installed)",
    )
    parser.add_argument(
        "--device",
        help="of a checkpoint that PyTorch runs: where, as cuda or cuda:1 (default: the CPU)",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads (default: OMP_NUM_THREADS, or cores)"
    )
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="pictures the network is shown at once"
    )
    parser.add_argument(
        "--json-lines", action="store_true", help="also write the records as a line per picture"
    )
    parser.add_argument(
        "--no-drawings",
        dest="drawings",
        action="store_false",
        help="draw nothing: records and label maps alone, and of a video its JSON lines",
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="processes that share the pictures"
    )
    parser.add_argument(
        "--shard",
        type=read_shard,
        default=(1, 1),
        metavar="I/N",
        help="do the I-th of N shares of the pictures, for N commands on one or more machines",
    )
    options = parser.parse_intermixed_args(arguments)
    if options.score_threshold is not None and not 0 <= options.score_threshold <= 1:
        parser.error(f"--score-threshold is from 0 to 1, not {options.score_threshold}")
    if options.top is not None and options.top < 1:
        parser.error(f"--top is at least 1, not {options.top}")
    for name in ("threads", "batch", "processes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is at least 1, not {value}")
    # A picture may have `=` in its name; what is no file and has one is a change to the config.
    options.overrides = [
        text for text in options.sources if "=" in text and not Path(text).exists()
    ]
    options.pictures = [text for text in options.sources if text not in options.overrides]
    if not options.pictures:
        parser.error("give at least one picture, folder or video")
    return options


def read_shard(text: str) -> tuple[int, int]:
    """The numbers of a share, `2/8`.

    Raises:
        ArgumentTypeError: It is none.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"a share is given as 1/4 to 4/4, not {text}")
    return int(number), int(count)


def run(options: argparse.Namespace) -> None:
    """Does what the options ask for."""
    from mnv2_dense.commands.predict import predict
    from mnv2_dense.commands.prediction_job import Share
    from mnv2_dense.commands.prediction_options import Options

    network = Options(
        weights=options.weights,
        overrides=options.overrides,
        score_threshold=options.score_threshold,
        top=options.top,
        engine=options.engine,
        device=options.device,
        threads=options.threads,
        batch=options.batch,
        drawings=options.drawings,
    )
    predict(
        options.pictures,
        network,
        out=options.out,
        processes=options.processes,
        share=Share(*options.shard),
        json_lines=options.json_lines,
    )
