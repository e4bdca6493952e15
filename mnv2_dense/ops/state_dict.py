"""Weights from a file into a module, with differences named."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnv2_dense.errors import UserError

FOREIGN = (".tflite", ".pb", ".tar", ".gz", ".tgz", ".zip")
"""How the names of TensorFlow's files and releases end."""
SHOWN = 5
"""Differing names listed in an error."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file, on the CPU; code in the file is never run.

    Raises:
        UserError: The file is missing, is no checkpoint, or holds more than plain data.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint file")
    hint = _import_hint(path)
    try:
        with warnings.catch_warnings():
            # torch warns of formats that it then refuses; the refusal is reported below.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused, it is no plain checkpoint (only tensors and simple values are "
            f"read, never code){hint}"
        ) from error
    except Exception as error:  # damaged bytes end anywhere: struct.error, AssertionError, ...
        raise UserError(
            f"{path}: cannot be read as a checkpoint, it is truncated or of another format{hint}"
        ) from error
    if not (_is_named(content) and _is_named(content.get("state_dict", {}))):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a dictionary of weights")
    return content


def _import_hint(path: Path) -> str:
    """What to do with a file that is of another program by its name, for the end of a message."""
    return (
        "; import it first with tools/import_weights.py" if path.suffix.lower() in FOREIGN else ""
    )


def _is_named(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(name, str) for name in content)


def load_state_dict(module: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Copies `state` into `module`, every entry of both sides used.

    Raises:
        UserError: Names or shapes differ; the message lists the first of them and `source`.
    """
    if differences := list_differences(module.state_dict(), state):
        more = len(differences) - SHOWN
        shown = "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise UserError(f"{source}: weights of another architecture: {shown}")
    module.load_state_dict(state)


def list_differences(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    """One line per name that is missing, left over, or of another shape."""
    shapes = [
        f"{name} is {_shape(theirs[name])} in the file and {_shape(tensor)} in the network"
        for name, tensor in ours.items()
        if name in theirs and _shape(theirs[name]) != _shape(tensor)
    ]
    missing = [f"{name} is not in the file" for name in ours if name not in theirs]
    extra = [f"{name} is not in the network" for name in theirs if name not in ours]
    return shapes + missing + extra


def _shape(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return "x".join(map(str, value.shape)) or "scalar"
