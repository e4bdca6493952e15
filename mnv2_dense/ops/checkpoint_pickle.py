"""A dry run of the pickle in a checkpoint: nothing is built before all of it is known to be plain.

torch.load(weights_only=True) calls more than weights need: bytearray(10**11), or a set of the rows
of a tensor that claims 10**12 of them from four bytes, would take all memory.
"""

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, BinaryIO

MAX_STEPS = 2_000_000
"""Opcodes in a pickle; a checkpoint of a network with 350 tensors has 40 000."""
MAX_MARKS = 200
MAX_STACK = 200_000
"""Values of one tuple, or waiting for their list or dictionary."""
_MAX_SIDE = 2**31

STORAGES = {
    **dict.fromkeys(("torch DoubleStorage", "torch LongStorage"), 8),
    **dict.fromkeys(("torch FloatStorage", "torch IntStorage"), 4),
    **dict.fromkeys(("torch HalfStorage", "torch BFloat16Storage", "torch ShortStorage"), 2),
    **dict.fromkeys(("torch CharStorage", "torch ByteStorage", "torch BoolStorage"), 1),
}
"""Bytes per element."""
_ORDERED_DICT = "collections OrderedDict"
_TENSOR, _OLD_TENSOR = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor"
_PARAMETER = "torch._utils _rebuild_parameter"
_NAMES = {_ORDERED_DICT, _TENSOR, _OLD_TENSOR, _PARAMETER, *STORAGES}
_TENSOR_PARTS = (4, 6)
"""Arguments of the old function and the present one."""


class NotPlainError(Exception):
    """A pickle that asks for more than tensors and simple values; the message says for what."""


class _Kind(Enum):
    """What is known of a value that is not followed further."""

    VALUE = auto()
    LIST = auto()
    DICT = auto()
    ORDERED_DICT = auto()
    TENSOR = auto()


@dataclass(frozen=True)
class _Name:
    """A function or class of Python's."""

    text: str


@dataclass(frozen=True)
class Storage:
    """The numbers behind tensors: how many, and bytes of each."""

    elements: int
    element_size: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.elements * self.element_size


_PUSHED: dict[str, Any] = {
    "NONE": _Kind.VALUE,
    "BINFLOAT": _Kind.VALUE,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_LIST": _Kind.LIST,
    "EMPTY_DICT": _Kind.DICT,
    "EMPTY_TUPLE": (),
}
_ITSELF = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINSTRING"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def check_pickle(file: BinaryIO, records: Mapping[str, int] | None = None) -> dict[str, Storage]:
    """Follows one pickle to its end, without building what it describes.

    Args:
        file: At the pickle's first byte; afterwards behind its last.
        records: Bytes of each storage, by its key, where they are known.

    Returns:
        The storages that it asks for, by key.

    Raises:
        NotPlainError: It asks for anything but tensors that fit into their storages,
            dictionaries, lists, tuples, texts and numbers; or for very many of them.
        Exception: Of any kind, where the bytes are no whole pickle.
    """
    machine = _Machine(records)
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if step >= MAX_STEPS or len(machine.stack) > MAX_STACK:
            raise NotPlainError("more values than a checkpoint holds")
        machine.follow(opcode.name, argument)
    return machine.storages


@dataclass
class _Machine:
    records: Mapping[str, int] | None
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    """The stacks under the marks."""
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)

    def follow(self, name: str, argument: Any) -> None:
        """One opcode."""
        if name in _ITSELF:
            self.stack.append(argument)
        elif name in _PUSHED:
            self.stack.append(_PUSHED[name])
        elif name in {"BINGET", "LONG_BINGET"}:
            self.stack.append(self.memo[argument])
        elif name in {"BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = self.stack[-1]
        elif name in _TUPLES:
            parts = self.stack[-_TUPLES[name] :]
            del self.stack[-_TUPLES[name] :]
            self.stack.append(tuple(parts))
        elif name == "GLOBAL":
            self.stack.append(_name(argument))
        elif name == "BINPERSID":
            self.stack.append(self._storage(self.stack.pop()))
        elif name == "REDUCE":
            arguments = self.stack.pop()
            self.stack.append(_call(self.stack.pop(), arguments))
        elif name not in {"PROTO", "STOP"}:
            self._fill(name)

    def _fill(self, name: str) -> None:
        """What puts values into containers."""
        if name == "MARK":
            if len(self.below) >= MAX_MARKS:
                raise NotPlainError("values nested too deep")
            self.below.append(self.stack)
            self.stack = []
        elif name == "TUPLE":
            parts = self._pop_mark()
            self.stack.append(tuple(parts))
        elif name in {"APPEND", "APPENDS"}:
            _ = self.stack.pop() if name == "APPEND" else self._pop_mark()
            self._require("fills", _Kind.LIST)
        elif name in {"SETITEM", "SETITEMS"}:
            pairs = (
                [self.stack.pop(-2), self.stack.pop()] if name == "SETITEM" else self._pop_mark()
            )
            if not all(type(key) in {str, int} for key in pairs[::2]):
                raise NotPlainError("keys that are no text and no number")
            self._require("fills", _Kind.DICT, _Kind.ORDERED_DICT)
        elif name == "BUILD" and self.stack.pop() is _Kind.DICT:
            self._require("sets attributes of", _Kind.ORDERED_DICT)
        else:
            raise NotPlainError(f"the pickle opcode {name}")

    def _pop_mark(self) -> list[Any]:
        parts, self.stack = self.stack, self.below.pop()
        return parts

    def _require(self, doing: str, *kinds: _Kind) -> None:
        if self.stack[-1] not in kinds:
            raise NotPlainError(f"a pickle that {doing} another object")

    def _storage(self, asked: Any) -> Storage:
        match asked:
            case ("storage", _Name(text), str(key), str(), int(elements), *rest) if (
                text in STORAGES and elements >= 0 and rest in ([], [_Kind.VALUE])
            ):
                storage = Storage(elements, STORAGES[text])
            case _:
                raise NotPlainError("a tensor's storage of an unknown kind")
        if self.records is not None and self.records.get(key) != storage.size:
            raise NotPlainError("tensors that claim another size than is in the file")
        if self.storages.setdefault(key, storage) != storage:
            raise NotPlainError("two storages of one name")
        return storage


def _name(text: str) -> _Name:
    if text not in _NAMES:
        raise NotPlainError(f"the Python object {text.replace(' ', '.')[:80]!r}")
    return _Name(text)


def _call(function: Any, arguments: Any) -> _Kind:
    """What a call gives, if it is one of the few that a checkpoint needs."""
    match function, arguments:
        case _Name(text=name), () if name == _ORDERED_DICT:
            return _Kind.ORDERED_DICT
        case _Name(text=name), (_Kind.TENSOR, bool(), _Kind.ORDERED_DICT) if name == _PARAMETER:
            return _Kind.TENSOR
        case _Name(text=name), (Storage(), int(), tuple(), tuple(), *rest) if (
            name == _OLD_TENSOR and not rest
        ) or (name == _TENSOR and _is_bare(rest)):
            _check_tensor(*arguments[: _TENSOR_PARTS[0]])
            return _Kind.TENSOR
    raise NotPlainError("a call that no checkpoint needs")


def _is_bare(rest: list[Any]) -> bool:
    """Whether the end of a tensor's description is a bool and a dictionary of hooks."""
    return len(rest) == 2 and type(rest[0]) is bool and rest[1] is _Kind.ORDERED_DICT


def _check_tensor(
    storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]
) -> None:
    """Refuses tensors that repeat or leave their storage."""
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise NotPlainError("a tensor of an impossible shape")
    last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
    elements = math.prod(shape)
    if elements > storage.elements or (elements and last >= storage.elements):
        raise NotPlainError("a tensor of more elements than the file has")
    if not elements and max(numbers) > _MAX_SIDE:
        raise NotPlainError("a tensor of an impossible shape")
