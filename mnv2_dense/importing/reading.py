"""A file of trained weights, whatever program wrote it, as a network of ours."""

from pathlib import Path
from typing import Any

from mnv2_dense.errors import UserError
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.graphdef import read_graphdef
from mnv2_dense.importing.recognition import recognise
from mnv2_dense.importing.states import import_state
from mnv2_dense.importing.tflite import read_tflite
from mnv2_dense.ops.state_dict import read_checkpoint

GRAPHS = (".pb", ".tar", ".gz", ".tgz", ".zip")
STATES = (".pth", ".pt", ".ckpt")
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
    if is_graph(path):
        tflite = path.suffix == ".tflite"
        return recognise(read_tflite(path) if tflite else read_graphdef(path))
    if path.suffix in STATES:
        content: dict[str, Any] = read_checkpoint(path)
        return import_state(content.get("state_dict", content), str(path))
    raise UserError(f"{path}: of no format that is read here; give {FORMATS}")


def is_graph(path: Path) -> bool:
    """Whether a file or folder is TensorFlow's or TFLite's, by its name."""
    return path.is_dir() or path.suffix in (".tflite", *GRAPHS)
