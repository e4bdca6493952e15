"""Spoilt files: bytes at random, and fields of the formats that a valid file is made of."""

import gzip
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

LIMITS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS = (*LIMITS, -1, -2, -(2**31), 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, float("inf"), float("-inf"), float("nan"))
OPS = (
    *("Conv2D", "DepthwiseConv2dNative", "MatMul", "FusedBatchNorm", "Add", "AddN", "BiasAdd"),
    *("Sub", "Mul", "RealDiv", "Rsqrt", "Relu6", "Softmax", "Identity", "AvgPool", "Mean", "Pad"),
    *("ResizeBilinear", "ResizeBicubic", "ConcatV2", "SpaceToBatchND", "BatchToSpaceND", "Const"),
    *("Reshape", "Squeeze", "ExpandDims", "Pack", "Unpack", "Fill", "Tile", "Range", "Slice"),
    *("StridedSlice", "Cast", "Shape", "Transpose", "Minimum", "Maximum", "Greater", "ArgMax"),
    *("NonMaxSuppressionV3", "NonMaxSuppressionV5", "CombinedNonMaxSuppression", "Merge", "PadV2"),
    *("NextIteration", "Switch", "TensorArrayReadV3", "_FusedConv2D", "Placeholder", "NoOp"),
)


def spoil_bytes(chance: random.Random, content: bytes) -> bytes:
    """One to eight changes at random places: bits, bytes, limits, pieces moved or cut."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place = chance.randrange(len(data) or 1)
        end = place + chance.choice((1, 2, 4, 8, 16, 64, 512))
        kind = chance.randrange(7)
        if kind == 0:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            data[place : place + 1] = bytes([(data[place : place + 1] or b"\0")[0] ^ 1 << end % 8])
        elif kind == 2:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(NUMBERS) % 2 ** (8 * width)
            data[place : place + width] = number.to_bytes(width, "little")
        elif kind == 3:
            del data[place:end]
        elif kind == 4:
            data[place:place] = data[place:end]
        elif kind == 5:
            other = chance.randrange(len(data) or 1)
            data[other : other + end - place] = data[place:end]
        elif chance.random() < 0.2:
            del data[place:]
    return bytes(data)


def spoil_offsets(chance: random.Random, content: bytes) -> bytes:
    """Words of a flatbuffer that look like offsets, lengths or vtable entries."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        for _ in range(20):
            place = chance.randrange(len(data) // 4) * 4
            (word,) = struct.unpack_from("<I", data, place)
            if 0 < word < len(data) or 0 < 2**32 - word < len(data):
                break
        near = (word + chance.choice((-8, -4, -2, -1, 1, 2, 4, 8))) % 2**32
        anywhere = (chance.randrange(len(data)) - place) % 2**32
        new = chance.choice((near, anywhere, chance.choice(LIMITS), len(data) - place))
        struct.pack_into("<I", data, place, new % 2**32)
    return bytes(data)


def spoil_table(chance: random.Random, root: Any) -> None:
    """Fields of a flatbuffer's objects: numbers, lists, missing tables."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = [(table, name) for table in _tables(root) for name in vars(table)]
        table, name = chance.choice(places)
        value = getattr(table, name)
        if isinstance(value, bool):
            new: Any = not value
        elif isinstance(value, int):
            new = chance.choice((*range(-2, 12), *LIMITS[:10], chance.randrange(128)))
        elif isinstance(value, float):
            new = chance.choice(FLOATS)
        elif isinstance(value, bytes | str):
            new = chance.choice((b"", b"\xff\n\x1b[2J", b"data", b"n" * 30_000))
        elif value is not None and hasattr(value, "__len__"):
            new = _spoil_list(chance, list(value))
        else:
            new = None
        setattr(table, name, new)


def _spoil_list(chance: random.Random, values: list[Any]) -> list[Any]:
    place = chance.randrange(len(values) + 1)
    kind = chance.randrange(4)
    if kind == 0 or not values:
        return values[:place]
    if kind == 1:
        return values + values[:place]
    if kind == 2 or not isinstance(values[0], int | float):
        return [*values[:place], chance.choice(values), *values[place + 1 :]]
    return [*values[:place], chance.choice((-1, 0, 1, 3, 4, 100)), *values[place + 1 :]]


def _tables(root: Any) -> Iterator[Any]:
    """A table's object and all below it."""
    yield root
    for value in vars(root).values():
        for each in value if isinstance(value, list) else [value]:
            if hasattr(each, "Pack"):
                yield from _tables(each)


def spoil_graph(chance: random.Random, content: bytes) -> bytes:
    """Fields of a GraphDef's nodes, each of a type that protobuf takes."""
    graph = GraphDef()
    graph.ParseFromString(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        _spoil_node(chance, graph, chance.choice(graph.node))
    return graph.SerializePartialToString()


def _spoil_node(chance: random.Random, graph: Any, node: Any) -> None:
    names = [each.name for each in graph.node]
    kind = chance.randrange(9)
    if kind == 0:
        node.op = chance.choice(OPS)
    elif kind == 1 and node.input:
        name = chance.choice(names) + chance.choice(("", "", "", ":1", ":9999", "\n"))
        node.input[chance.randrange(len(node.input))] = name
    elif kind == 2:
        node.input.append(chance.choice(names))
    elif kind == 3 and node.input:
        del node.input[chance.randrange(len(node.input))]
    elif kind == 4:
        graph.node.add().CopyFrom(node)
    elif kind == 5 and node.attr:
        other = chance.choice(graph.node)
        if other.attr:
            value = other.attr[chance.choice(sorted(other.attr))]
            node.attr[chance.choice(sorted(node.attr))].CopyFrom(value)
    elif kind == 6:
        name = chance.choice(("beta", "kernel", "iou_threshold", "axis", "begin_mask", "epsilon"))
        _spoil_value(chance, node.attr[name])
    elif node.attr:
        _spoil_value(chance, node.attr[chance.choice(sorted(node.attr))])


def _spoil_value(chance: random.Random, value: Any) -> None:
    if value.WhichOneof("value") == "tensor" and chance.random() < 0.9:
        return _spoil_tensor(chance, value.tensor)
    number = chance.choice(NUMBERS) % 2**64 - 2**63
    kind = chance.choice(("i", "f", "b", "s", "type", "list", "shape", "func"))
    if kind == "list":
        value.list.i.extend([chance.choice((1, 2, number))] * chance.randrange(5))
    elif kind == "shape":
        value.shape.dim.add(size=number)
    elif kind == "func":
        value.func.name = "call"
    else:
        given = {"i": number, "f": chance.choice(FLOATS), "b": True, "s": b"\xff\n", "type": 7}
        setattr(value, kind, given[kind])


def _spoil_tensor(chance: random.Random, tensor: Any) -> None:
    kind = chance.randrange(5)
    if kind == 0:
        tensor.dtype = chance.choice((1, 2, 3, 4, 7, 9, 10, 14, 19, 23, 99))
    elif kind == 1 and tensor.tensor_shape.dim:
        size = chance.choice((0, 1, 3, *NUMBERS)) % 2**64 - 2**63
        chance.choice(tensor.tensor_shape.dim).size = chance.choice((size, 0, 1, 2, 3, 2**26))
    elif kind == 2:
        tensor.tensor_shape.dim.add(size=chance.choice((0, 1, 1, 2, 1000)))
    elif kind == 3:
        tensor.tensor_content = spoil_bytes(chance, tensor.tensor_content)
    else:
        listed = (
            (3, "int_val", 7),
            (1, "float_val", chance.choice(FLOATS)),
            (7, "string_val", b"s"),
        )
        tensor.dtype, field, value = chance.choice(listed)
        tensor.tensor_content = b""
        getattr(tensor, field).append(value)


def spoil_wire(chance: random.Random, content: bytes) -> bytes:
    """A protobuf message's fields: dropped, doubled, of another key, length or inside."""
    fields = list(_fields(content))
    if not fields:
        return spoil_bytes(chance, content)
    start, body, end, inner = chance.choice(fields)
    kind = chance.randrange(5)
    if kind == 0:
        return content[:start] + content[end:]
    if kind == 1:
        return content[:end] + content[start:end] * chance.choice((1, 2, 50)) + content[end:]
    if kind == 2:
        return content[:start] + bytes([chance.randrange(1, 128)]) + content[start + 1 :]
    if kind == 3 or not inner or end - body > 4096:
        return content[:body] + spoil_bytes(chance, content[body:end]) + content[end:]
    new = spoil_wire(chance, content[body:end])
    return content[: start + 1] + _varint(len(new)) + new + content[end:]


def _fields(content: bytes) -> Iterator[tuple[int, int, int, bool]]:
    """Start, start of the value, end, and whether it has a length; until bytes are none."""
    place = 0
    while place < len(content):
        start, wire = place, content[place] & 7
        place += 1
        length = {1: 8, 5: 4}.get(wire, 0)
        if wire in (0, 2):
            number, shift = 0, 0
            while place < len(content) and shift < 64:
                byte = content[place]
                number, shift, place = number | (byte & 127) << shift, shift + 7, place + 1
                if byte < 128:
                    break
            length = number if wire == 2 else 0
        if wire in (3, 4, 6, 7) or place + length > len(content):
            return
        yield start, place, place + length, wire == 2
        place += length


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


NAMES = (
    *(
        b"../x",
        b"/x",
        b"a/../../x",
        b"C:\\x",
        b"..\\x",
        b"A/ONE.TXT",
        b".",
        b"",
        b"a",
        b"a/one.txt/b",
    ),
    *(b"a\nb", b"\xff\xfe", b"e\xcc\x81", b"\xc3\xa9", b"d/" * 40 + b"x", b"n" * 300, b"\x00"),
)


def spoil_zip(chance: random.Random, content: bytes) -> bytes:
    """Fields of a zip file's records: flags, method, sizes, offsets, names."""
    data = bytearray(content)
    marks = (b"PK\1\2", b"PK\3\4", b"PK\5\6")
    places = [at for mark in marks for at in _find_all(content, mark)]
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.choice(places)
        width = chance.choice((2, 4))
        field = at + 4 + 2 * chance.randrange(21)
        number = chance.choice((*LIMITS, 9, 12, 14, 0xA1FF, chance.randrange(len(content))))
        data[field : field + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
        if chance.random() < 0.3:
            name = chance.choice(NAMES)
            begin = at + (46 if content[at + 2] == 1 else 30)
            data[begin : begin + len(name)] = name
    return bytes(data)


def _find_all(content: bytes, mark: bytes) -> Iterator[int]:
    at = content.find(mark)
    while at >= 0:
        yield at
        at = content.find(mark, at + 1)


_TAR = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "type": (156, 1), "link": (157, 100)}


def spoil_tar(chance: random.Random, content: bytes) -> bytes:
    """Fields of a tar file's headers, with the right checksum."""
    data = bytearray(content)
    headers = [at - 257 for at in _find_all(content, b"ustar")]
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.choice(headers)
        place, length = _TAR[chance.choice(tuple(_TAR))]
        number = chance.choice((*NUMBERS, 2**40, -512, -1024))
        given = {
            1: [bytes([chance.choice(b"\x001234567xgLKSDVX")])],
            12: [b"%011o\0" % abs(number), bytes([0xFF if number < 0 else 0x80])
                 + (number % 2**88).to_bytes(11, "big"), b"-0000001000\0", b"nonsense"],
            8: [b"0004777\0", b"0000000\0"],
        }.get(length, NAMES)  # fmt: skip
        data[at + place : at + place + length] = chance.choice(given)[:length].ljust(length, b"\0")
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


def spoil_gzip(chance: random.Random, content: bytes) -> bytes:
    """What is packed in a gzip file."""
    return gzip.compress(spoil_tar(chance, gzip.decompress(content)), 1, mtime=0)


Spoil = Callable[[random.Random, bytes], bytes]
