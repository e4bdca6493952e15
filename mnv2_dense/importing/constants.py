"""Values that a graph computes from its constants alone, such as an unfused norm's factor."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from mnv2_dense.importing.arithmetic import compute
from mnv2_dense.importing.graph import Node


class Norm(NamedTuple):
    """A batch norm's parameters, float32 [C]: gamma * (x - mean) / sqrt(variance + e) + beta."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float


class NormPart(NamedTuple):
    """How far a constant is on the way to an unfused norm's factor or offset.

    variance + epsilon, its reciprocal root, the factor (root * gamma), the shift (mean *
    factor), the offset (beta - shift). A norm without gamma has the root for its factor.
    """

    stage: Literal["sum", "root", "factor", "shift", "offset"]
    norm: Norm


class Constant(NamedTuple):
    """A value, the constants of the file that it comes from, and what of a norm it is."""

    value: np.ndarray
    names: frozenset[str]
    part: NormPart | None = None


def fold(node: Node, inputs: Sequence[Constant]) -> Constant | None:
    """What a node gives whose inputs are all constants; None for an operation not known here."""
    value = compute(node, [each.value for each in inputs])
    if value is None:
        return None
    names = frozenset().union(*(each.names for each in inputs))
    return Constant(value, names, _norm_part(node.op, inputs))


def decimal(value: float) -> float:
    """A float32 as the short number that was meant: 0.001, not 0.0010000000474974513."""
    return float(f"{value:.7g}")


def _norm_part(op: str, inputs: Sequence[Constant]) -> NormPart | None:
    parts = [each.part for each in inputs if each.part is not None]
    plain = [each.value for each in inputs if each.part is None]
    if op == "add" and sorted(each.ndim for each in plain) == [0, 1]:
        epsilon, variance = sorted(plain, key=np.ndim)
        nothing = np.zeros_like(variance)
        norm = Norm(nothing + 1, nothing, nothing, variance, decimal(float(epsilon)))
        return NormPart("sum", norm)
    if len(parts) != 1 or len(plain) > 1 or (op == "sub" and inputs[1].part is None):
        return None
    return _next_part(op, parts[0], plain[0] if plain else None)


def _next_part(op: str, part: NormPart, other: np.ndarray | None) -> NormPart | None:
    """What an operation makes of a part, and of another constant beside it."""
    stage, norm = part
    if op in ("identity", "enter"):
        return part
    if op == "rsqrt" and stage == "sum":
        return NormPart("root", norm)
    if other is None:
        return None
    if op == "mul" and stage == "root":
        return NormPart("factor", norm._replace(gamma=other))
    if op == "mul" and stage == "factor":
        return NormPart("shift", norm._replace(mean=other))
    if op == "sub" and stage == "shift":
        return NormPart("offset", norm._replace(beta=other))
    if op == "sub" and stage == "factor":  # without gamma, what looked like it was the mean
        without = norm._replace(gamma=np.ones_like(norm.gamma), mean=norm.gamma, beta=other)
        return NormPart("offset", without)
    return None
