"""Weights from a file into a module, with differences and values that are no numbers named."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mnv2_dense.errors import UserError

DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
)
"""Of weights; complex, quantised and 8-bit floating-point ones fit no network here."""
SHOWN = 5
"""Names listed in an error."""


def load_state_dict(module: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Copies `state` into `module`, every entry of both sides used.

    Raises:
        UserError: Names or shapes differ, or values are NaN or infinite; the message lists the
            first of them and `source`, and the module is as it was.
    """
    if differences := list_differences(module.state_dict(), state):
        raise UserError(f"{source}: weights of another architecture: {_shorten(differences)}")
    if bad := list_non_finite(state):
        raise UserError(
            f"{source}: weights with NaN or infinite values, which no network can use: "
            f"{_shorten(bad)}; use a checkpoint from before they appeared"
        )
    module.load_state_dict(state)


def list_non_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the floating-point tensors that hold NaN or an infinity, in their order."""
    return [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]


def _shorten(lines: list[str]) -> str:
    more = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def list_differences(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    """One line per name that is missing, left over, or of another shape or kind."""
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
    if value.dtype not in DTYPES:
        return str(value.dtype)
    return "x".join(map(str, value.shape)) or "scalar"
