"""A file of trained weights, whatever program wrote it, as a network of ours."""

from pathlib import Path
from typing import Any

from mnv2_dense.errors import UserError
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.graph import Graph, printable
from mnv2_dense.importing.graphdef import read_graphdef
from mnv2_dense.importing.recognition import recognise
from mnv2_dense.importing.states import import_state
from mnv2_dense.importing.tflite import read_tflite
from mnv2_dense.ops.checkpoint_file import read_checkpoint

GRAPHS = (".pb", ".tar", ".gz", ".tgz", ".zip")
STATES = (".pth", ".pt", ".ckpt")
SHOWN = 4
"""Files named in an error."""
FORMATS = (
    "a .tflite file, a frozen .pb graph, a release archive or its folder, or torchvision's .pth"
)


def read_weights(path: Path) -> Imported:
    """The network in a file of another program.

    Args:
        path: A `.tflite` file; a frozen TensorFlow graph, its folder or release archive; or a
            state dict of torchvision's `mobilenet_v2`.

    Raises:
        UserError: The file cannot be read, holds no network that is known here, or tensors
            that have no place in it.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; give {FORMATS}")
    suffix = path.suffix.lower()
    if suffix == ".tflite" and path.is_file():
        return recognise(read_tflite(path))
    if is_graph(path):
        return recognise(_read_frozen(path))
    if suffix in STATES:
        content: dict[str, Any] = read_checkpoint(path)
        return import_state(content.get("state_dict", content), str(path))
    raise UserError(f"{path}: of no format that is read here; give {FORMATS}")


def _read_frozen(path: Path) -> Graph:
    """TensorFlow's own graph, where there is one and it is of what is run in the end."""
    try:
        graph = read_graphdef(path)
    except UserError as error:
        raise UserError(f"{error}{_other_files(path, str(error))}") from error
    if any(node.op.startswith("fake_quant") for node in graph.nodes):
        raise UserError(
            f"{path}: a graph of quantisation-aware training, whose values are rounded between "
            "its layers; give the .tflite file that comes with it"
        )
    return graph


def _other_files(path: Path, error: str) -> str:
    """What else can be given where there is no frozen graph, for the end of its error."""
    reason = error.removeprefix(str(path))
    if "no frozen_inference_graph.pb" not in reason:
        return ""
    if not path.is_dir():
        return "; or unpack its .tflite file and give that" if ".tflite" in reason else ""
    files = [*path.glob("*.*"), *path.glob("*/*.*")]
    found = sorted(
        printable(file.relative_to(path).as_posix())
        for file in files
        if file.suffix.lower() == ".tflite"
    )
    return f"; or its .tflite file, {' or '.join(found[:SHOWN])}" if found else ""


def is_graph(path: Path) -> bool:
    """Whether a file or folder is TensorFlow's or TFLite's, by its name."""
    return path.is_dir() or path.suffix.lower() in (".tflite", *GRAPHS)
