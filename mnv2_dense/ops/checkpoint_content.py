"""What a checkpoint may hold once it is read: tensors and simple values, in bounded nesting."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

MAX_DEPTH = 100
MAX_VALUES = 4_000_000
"""Values where a shared one counts as often as it is met: what a program without a memo walks."""
_SIMPLE = (str, int, float, bool, type(None))
_METADATA = "_metadata"
"""The attribute in which torch keeps the versions of a state dictionary's modules."""


class ContentError(Exception):
    """A value that no checkpoint needs; the message says which."""


class _Extent(NamedTuple):
    values: int
    depth: int


def check_content(content: object) -> None:
    """Walks all values once, however often they are shared, without recursion.

    Raises:
        ContentError: There is a value of another type than tensors on the CPU, dictionaries, lists,
            tuples, texts and numbers; or nesting that is deep, endless, or stands for more than
            `MAX_VALUES`.
    """
    done: dict[int, _Extent] = {}
    path: set[int] = set()
    waiting = [content]
    while waiting:
        node = waiting[-1]
        if id(node) in done:
            waiting.pop()
        elif id(node) in path:  # All in it is done.
            done[id(node)] = _add(done, _inside(node))
            path.discard(id(waiting.pop()))
        else:
            path.add(id(node))
            inside = _inside(node)
            if any(id(value) in path for value in inside):
                raise ContentError("values that hold themselves")
            waiting.extend(inside)


def _add(done: dict[int, _Extent], inside: Sequence[object]) -> _Extent:
    values = 1 + sum(done[id(value)].values for value in inside)
    depth = 1 + max((done[id(value)].depth for value in inside), default=0)
    if depth > MAX_DEPTH:
        raise ContentError(f"values nested more than {MAX_DEPTH} deep")
    if values > MAX_VALUES:
        raise ContentError(f"more than {MAX_VALUES} values")
    return _Extent(values, depth)


def _inside(node: Any) -> Sequence[object]:
    """The values directly in a container; none in a tensor and in simple values."""
    if type(node) in {dict, OrderedDict}:
        attributes: dict[str, object] = getattr(node, "__dict__", {})
        if attributes.keys() - {_METADATA}:
            raise ContentError("a dictionary with attributes")
        # Not node.values(): these are the type's own, whatever the object says.
        return [*dict.values(node), *attributes.values()]
    if type(node) in {list, tuple}:
        return node
    if type(node) in {Tensor, nn.Parameter}:
        _check_tensor(node)
    elif type(node) not in _SIMPLE:
        raise ContentError(f"a value of type {type(node).__name__}")
    return ()


def _check_tensor(tensor: Tensor) -> None:
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not dense or tensor.is_quantized or tensor.is_complex():
        raise ContentError("a tensor that is sparse, quantised, complex or not on the CPU")
    if tensor._backward_hooks:
        raise ContentError("a tensor with hooks")
