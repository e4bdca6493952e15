"""The formats that networks are exported to, each written by a module that is imported for it."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import ENGINES
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed

Write = Callable[[Deployed, Manifest, Path], None]


class Format(NamedTuple):
    """How a format is written.

    suffix: Of its files. module: Below `mnv2_dense.exporting`, with a function `write`. libraries:
    That writing and running it need. quantizer: What 8 bits need further; None where the format
    has none here. dynamic_size: Whether a file may take several sizes.
    """

    suffix: str
    module: str
    libraries: tuple[str, ...]
    quantizer: tuple[str, ...] | None
    dynamic_size: bool = True


FORMATS = {
    "onnx": Format(".onnx", "onnx_file", ("onnx", "onnxscript", "onnxruntime"), ()),
    "openvino": Format(".xml", "openvino_file", ("onnx", "onnxscript", "openvino"), ("nncf",)),
    "litert": Format(
        ".tflite",
        "litert_file",
        ("litert_torch", "ai_edge_litert"),
        ("ai_edge_quantizer",),
        dynamic_size=False,
    ),
    "torch_export": Format(".pt2", "torch_export_file", (), None, dynamic_size=False),
}
"""By the names of the engines that open them."""


def check_format(name: str, *, int8: bool) -> None:
    """Refuses a format that has no 8 bits, where they are asked for, or lacks its libraries.

    Raises:
        UserError: It is so.
    """
    kind = FORMATS[name]
    if int8 and kind.quantizer is None:
        able = ", ".join(other for other, each in FORMATS.items() if each.quantizer is not None)
        raise UserError(
            f"--int8: files of --format {name} are float32 only; those in 8 bits are {able}"
        )
    needed = (*kind.libraries, *(kind.quantizer or () if int8 else ()))
    missing = [library for library in needed if find_spec(library) is None]
    if missing:
        raise UserError(
            f"--format {name} needs {missing[0]}, which is not installed; "
            f"pip install 'mnv2-dense[{ENGINES[name].extra}]'"
        )


def writer(name: str) -> Write:
    """What writes a format."""
    return import_module(f"mnv2_dense.exporting.{FORMATS[name].module}").write
