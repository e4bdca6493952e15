"""What `benchmark predict` takes."""

import argparse
from pathlib import Path

TASKS = ("detection", "segmentation")
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
  %(prog)s
  %(prog)s --task detection --threads 1 --out figures.json
  %(prog)s --task segmentation --models int8.onnx --pictures FOLDER"""


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
        help="exported files to time too, as those of --int8, beside the network of "
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
