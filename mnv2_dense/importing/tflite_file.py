"""A .tflite file's tables: opened, and read within bounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import MAX_NAME, MAX_RANK, first, printable

SCHEMA_VERSION = 3
# Offsets and shared tables let a small file describe endless work: what is read is counted.
MAX_FILE_BYTES = 2**28
MAX_ENTRIES = 20_000
MAX_OPERANDS = 256
MAX_VALUES = 2**26
"""Numbers in all constants: the largest network that is known here has 9 million."""
MAX_REUSE = 4
"""How many times as large as the file all names, or all tensors, may be."""

# Places in the schema's tables, which its generated code does not name.
TENSOR_NAME = 10
SUBGRAPH_NAME = 12


class DamageError(Exception):
    """What the file says contradicts itself."""


class LimitError(DamageError):
    """The file says more than is read."""


class TFLiteFile(NamedTuple):
    """An opened file, whose tables are read when they are asked for.

    Attributes:
        source: The file, for messages.
        size: In bytes.
        schema: The module of the runtime's classes for tables.
        model: The whole file's table.
        part: The table of its one subgraph.
        names: Of its tensors, in its order.
    """

    source: str
    size: int
    schema: Any
    model: Any
    part: Any
    names: list[str]


@contextmanager
def refuse_damage(path: Path) -> Iterator[None]:
    """Any error from damaged tables becomes a statement about the file.

    Raises:
        UserError: Something inside failed.
    """
    try:
        yield
    except UserError:
        raise
    except LimitError as error:
        raise UserError(f"{path}: not a TFLite file, or too large: {error}") from error
    except DamageError as error:
        raise UserError(f"{path}: not a TFLite file, or truncated: {error}") from error
    except Exception as error:  # damaged bytes end anywhere: struct.error, TypeError, ...
        raise UserError(f"{path}: not a TFLite file, or truncated") from error


def open_file(path: Path) -> TFLiteFile:
    """The file's tables, with every buffer inside the file; to be used in `refuse_damage`.

    Raises:
        UserError: The runtime's schema is missing, the file cannot be read or is too large, or
            it has several subgraphs.
        DamageError: It is no TFLite file.
    """
    schema = _import_schema()
    content = _read_bytes(path)
    model = schema.Model.GetRootAs(content, 0)
    for index in bounded_range(model.BuffersLength(), "buffers"):
        model.Buffers(index).DataAsNumpy()
    part = _single_part(path, model)
    names = _read_names(part, len(content))
    return TFLiteFile(str(path), len(content), schema, model, part, names)


def _import_schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise UserError(
            "reading a .tflite file needs ai-edge-litert, pip install 'mnv2-dense[tflite]'"
        ) from error
    return schema_py_generated


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        limit = f"{MAX_FILE_BYTES / 2**20:g} MiB"
        raise UserError(f"{path}: larger than {limit}, which no network that is known here is")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if content[4:8] != b"TFL3":
        raise DamageError("its mark TFL3 is missing")
    return content


def _single_part(path: Path, model: Any) -> Any:
    if model.Version() != SCHEMA_VERSION:
        raise DamageError(f"schema version {model.Version()}; {SCHEMA_VERSION} is read")
    if not model.SubgraphsLength():
        raise DamageError("it has no network")
    if model.SubgraphsLength() > 1:
        second = read_text(model.Subgraphs(1), SUBGRAPH_NAME)
        raise UserError(
            f"{path}: has {model.SubgraphsLength()} subgraphs, the second is {second!r}; only a "
            "network in a single one is read"
        )
    return model.Subgraphs(0)


def _read_names(part: Any, size: int) -> list[str]:
    names: list[str] = []
    left = size * MAX_REUSE
    for index in bounded_range(part.TensorsLength(), "tensors"):
        names.append(read_text(part.Tensors(index), TENSOR_NAME))
        left -= len(names[-1])
        check_reuse(left, "names")
    return names


def check_reuse(left: int, what: str) -> None:
    """Refuses a file that lists its bytes too often; `left` is how many more it may list.

    Raises:
        LimitError: There are none left.
    """
    if left < 0:
        raise LimitError(f"its {what} are more than {MAX_REUSE} times as large as the file")


def bounded_range(length: int, what: str, most: int = MAX_ENTRIES) -> range:
    """The indices of a vector.

    Raises:
        LimitError: It is longer than `most`.
    """
    if length > most:
        raise LimitError(f"{length} {what}; at most {most} are read")
    return range(length)


def read_text(table: Any, place: int) -> str:
    """A string of a table, fit for a message; empty where it has none.

    Args:
        table: Any table.
        place: Of the string in it.
    """
    # As an array, since the schema's own reading shortens one that is cut off.
    from flatbuffers.number_types import Uint8Flags

    offset = table._tab.Offset(place)
    if not offset:
        return ""
    text = table._tab.GetVectorAsNumpy(Uint8Flags, offset)
    bounded_range(len(text), "bytes in a name", MAX_NAME)
    return printable(text.tobytes().decode())


def read_vector(table: Any, name: str) -> np.ndarray:
    """A vector of numbers, empty where the file has none."""
    values = getattr(table, f"{name}AsNumpy")()
    return values if isinstance(values, np.ndarray) else np.zeros(0, np.int64)


def read_indices(file: TFLiteFile, table: Any, direction: str) -> list[int]:
    """The tensors that go `In` or `Out`; an optional one that is left out is -1."""
    indices = read_vector(table, f"{direction}puts")
    bounded_range(len(indices), "operands", MAX_OPERANDS)
    least = -1 if table is not file.part else 0
    if any(not least <= index < len(file.names) for index in indices.tolist()):
        raise DamageError("a tensor that it does not have is used")
    return indices.tolist()


def find_name(enumeration: Any, value: int) -> str:
    """What one of the schema's enumerations calls a number."""
    members = vars(enumeration).items()
    name = first(name for name, number in members if number == value and name[0] != "_")
    if name is None:
        raise DamageError(f"{value} is no {enumeration.__name__}")
    return name


def read_shape(tensor: Any, name: str = "Shape") -> tuple[int, ...]:
    """A tensor's shape, `()` where it has none; `name` may also be `ShapeSignature`."""
    shape = read_vector(tensor, name)
    bounded_range(len(shape), "dimensions", MAX_RANK)
    return tuple(shape.tolist())


def read_kind(file: TFLiteFile, index: int) -> str:
    """The type of a tensor, by the schema's name: `FLOAT32`."""
    return find_name(file.schema.TensorType, file.part.Tensors(index).Type())
