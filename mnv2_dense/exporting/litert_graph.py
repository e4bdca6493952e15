"""The graph in a .tflite file, to which operations and entries are added."""

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from typing_extensions import override

ALIGNMENT = 16
"""Of constants in a file, in bytes, as its schema asks for (`force_align`)."""
_OPTIONS = {
    "TOPK_V2": "TopKV2Options",
    "FLOOR_DIV": "FloorDivOptions",
    "FLOOR_MOD": "FloorModOptions",
    "GATHER": "GatherOptions",
    "ONE_HOT": "OneHotOptions",
    "RESHAPE": "ReshapeOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
}
"""The table of an operation's options."""


class LiteRtGraph:
    """A file of one subgraph and one signature, as tables; tensors are known by their indices.

    Args:
        content: The file.
    """

    def __init__(self, content: bytes) -> None:
        model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self._model = model
        (self._part,) = model.subgraphs
        (self._signature,) = model.signatureDefs

    def output(self, name: str) -> int:
        """The output that the signature calls so."""
        named = {each.name.decode(): int(each.tensorIndex) for each in self._signature.outputs}
        return named[name]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(int(side) for side in self._part.tensors[tensor].shape)

    def tensor(self, shape: Sequence[int], kind: str = "FLOAT32", buffer: int = 0) -> int:
        """A new tensor; what is computed has the empty buffer 0."""
        tensor: Any = schema.TensorT()
        tensor.shape, tensor.buffer = [int(side) for side in shape], buffer
        tensor.type = getattr(schema.TensorType, kind)
        tensor.name = f"decode_{len(self._part.tensors)}".encode()
        self._part.tensors.append(tensor)
        return len(self._part.tensors) - 1

    def constant(self, values: np.ndarray | np.generic) -> int:
        """A new tensor that holds float32 or int32 values."""
        buffer = self._add_buffer(values.tobytes())
        return self.tensor(values.shape, values.dtype.name.upper(), buffer)

    def operator(
        self, builtin: str, inputs: Sequence[int], outputs: Sequence[int], axis: int | None = None
    ) -> None:
        """Adds an operation of those in `_OPTIONS`."""
        operator = self._add_operator(builtin, inputs, outputs)
        kind = _OPTIONS[builtin]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        operator.builtinOptions = getattr(schema, f"{kind}T")()
        if axis is not None:
            operator.builtinOptions.axis = axis

    def reshape(self, tensor: int, shape: Sequence[int]) -> int:
        """A float32 tensor's values in another shape."""
        reshaped = self.tensor(shape)
        self.operator("RESHAPE", [tensor, self.constant(np.array(shape, np.int32))], [reshaped])
        return reshaped

    def custom(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: bytes
    ) -> None:
        """Adds an operation that is not of the schema."""
        operator = self._add_operator("CUSTOM", inputs, outputs, name)
        operator.customOptions = np.frombuffer(options, np.uint8)

    def set_outputs(self, tensors: Mapping[str, int]) -> None:
        """Replaces the outputs and their names."""
        self._part.outputs = list(tensors.values())
        self._signature.outputs = [_name_tensor(*each) for each in tensors.items()]

    def add_metadata(self, name: str, content: bytes) -> None:
        """Adds an entry to the file's metadata."""
        entry: Any = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), self._add_buffer(content)
        self._model.metadata = [*(self._model.metadata or []), entry]

    def to_bytes(self) -> bytes:
        """The file."""
        builder = _AlignedBuilder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _add_operator(
        self, builtin: str, inputs: Sequence[int], outputs: Sequence[int], custom: str = ""
    ) -> Any:
        code: Any = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, builtin)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode = custom.encode() or None
        code.version = _VERSIONS.get(builtin, 1)
        self._model.operatorCodes.append(code)
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self._part.operators.append(operator)
        return operator

    def _add_buffer(self, content: bytes) -> int:
        buffer: Any = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1


_VERSIONS = {"TOPK_V2": 2, "FLOOR_DIV": 2}
"""Of operations where the first does not take these types."""


def _name_tensor(name: str, index: int) -> Any:
    entry: Any = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


class _AlignedBuilder(flatbuffers.Builder):
    """Keeps the schema's alignment of constants, which flatbuffers' Python code does not."""

    @override
    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        return super().StartVector(elemSize, numElems, max(alignment, ALIGNMENT))
