"""The bytes of a frozen graph as protobuf's message, in bounded memory."""

import importlib
from pathlib import Path
from typing import Any

from mnv2_dense.errors import UserError

MAX_FIELDS = 2**20
"""Most fields of all messages in a file; a detector's graph without its NMS has 11,000."""
MAX_DEPTH = 50
"""Most messages inside one another."""

Message = Any
"""Protobuf makes its classes at run time."""

_SAVED_MODEL = b"\x08\x01\x12"
"""How a SavedModel begins: its version, then a graph with its signatures."""


class _BoundError(Exception):
    """More than is read of something."""


def parse_message(content: bytes, path: Path) -> Message:
    """The GraphDef in a file's bytes.

    Args:
        content: The bytes.
        path: Their file, for messages.

    Raises:
        UserError: They are none, truncated, or a graph of more fields than are read.
    """
    # Not at the top: no other part of the package needs it, and it takes a while.
    message = importlib.import_module("tensorboard.compat.proto.graph_pb2").GraphDef()
    try:
        # Each empty message of two bytes would become a hundred in memory.
        _count_fields(memoryview(content), message.DESCRIPTOR, 0, 0)
        message.ParseFromString(content)
    except _BoundError as error:
        raise UserError(f"{path}: {_explain(content, f'too large: {error}')}") from error
    except Exception as error:  # the DecodeError of the protobuf in use
        raise UserError(f"{path}: {_explain(content)}") from error
    if not message.node:
        raise UserError(f"{path}: {_explain(content)}")
    return message


def _explain(content: bytes, otherwise: str = "truncated") -> str:
    if content.startswith(_SAVED_MODEL):
        return "a SavedModel, whose weights are elsewhere; give a frozen graph (.pb)"
    return f"not a TensorFlow GraphDef, or {otherwise}"


def _count_fields(content: memoryview, descriptor: Any, count: int, depth: int) -> int:
    """Counts on, through all messages inside.

    Source: protobuf's encoding, https://protobuf.dev/programming-guides/encoding.

    Raises:
        _BoundError: There are too many of them.
        ValueError: They are not whole.
    """
    if depth > MAX_DEPTH:
        raise _BoundError(f"more than {MAX_DEPTH} messages inside one another")
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        start, end = _extent(content, place, key & 7)
        if end > len(content):
            raise ValueError("truncated")
        field = descriptor.fields_by_number.get(key >> 3)
        count += 1 + _weight(field, end - start)
        if count > MAX_FIELDS:
            raise _BoundError(f"more than {MAX_FIELDS} fields")
        if key & 7 == 2 and field is not None and field.message_type is not None:
            count = _count_fields(content[start:end], field.message_type, count, depth + 1)
        place = end
    return count


def _extent(content: memoryview, place: int, wire: int) -> tuple[int, int]:
    """From where to where the value of a field goes, by its wire type."""
    if wire == 0:
        _, place = _varint(content, place)
        return place, place
    if wire == 2:
        length, place = _varint(content, place)
        return place, place + length
    if wire in (1, 5):
        return place, place + (8 if wire == 1 else 4)
    raise ValueError("a group")


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """A number of one to ten bytes, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + shift // 7 + 1
    raise ValueError("a number without an end")


def _weight(field: Any, length: int) -> int:
    """Of what is no message: listed numbers grow in memory, too, if less; bytes do not."""
    if field is None or field.type in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE):
        return 0
    fixed = field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE)
    return length // (64 if fixed else 16)
