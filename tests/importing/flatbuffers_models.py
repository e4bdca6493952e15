"""Small .tflite files, written through the runtime's own schema."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers


class ModelWriter:
    """A model of one subgraph, tensor by tensor and operator by operator.

    What is between a call and `write` may be changed through `model` and `part`.
    """

    def __init__(self) -> None:
        self.part: Any = schema.SubGraphT()
        self.part.name = b"main"
        self.part.tensors = list[Any]()
        self.part.operators = list[Any]()
        self.model: Any = schema.ModelT()
        self.model.version = 3
        self.model.subgraphs = [self.part]
        # The first buffer is empty, for what is computed.
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int] = (1, 4),
        values: np.ndarray | None = None,
        kind: str = "FLOAT32",
        *,
        scale: Sequence[float] = (),
        zero_point: Sequence[int] = (),
        axis: int = 0,
    ) -> int:
        """Adds a tensor; a constant where there are values, whose bytes are written as they are."""
        tensor: Any = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), list(shape)
        tensor.type = getattr(schema.TensorType, kind)
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = list(scale)
        tensor.quantization.zeroPoint = list(zero_point)
        tensor.quantization.quantizedDimension = axis
        if values is not None:
            tensor.buffer = len(self.model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
        self.part.tensors.append(tensor)
        return len(self.part.tensors) - 1

    def operator(
        self,
        builtin: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Any = None,
        **custom_options: float,
    ) -> Any:
        """Adds an operator; `builtin` may be the name of a custom one."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        custom = not hasattr(schema.BuiltinOperator, builtin)
        number = getattr(schema.BuiltinOperator, "CUSTOM" if custom else builtin)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.customCode = builtin.encode() if custom else None
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        if custom_options:
            operator.customOptions = list(flexbuffers.Dumps(custom_options))
        self.model.operatorCodes.append(code)
        self.part.operators.append(operator)
        return operator

    def write(self, path: Path, inputs: Sequence[int] = (0,), outputs: Sequence[int] = ()) -> Path:
        """Writes the file; the last operator's outputs are the model's, where none are named."""
        self.part.inputs = list(inputs)
        self.part.outputs = list(outputs or self.part.operators[-1].outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(builder.Output())
        return path


def convolution(activation: str = "NONE", *, stride: int = 1) -> Any:
    """Options of a convolution of padding `same`."""
    options = schema.Conv2DOptionsT()
    options.strideH, options.strideW = stride, stride
    options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
    return options


def write_everything(path: Path) -> Path:
    """A file of few bytes with every kind of entry that is read."""
    writer = ModelWriter()
    data = writer.tensor("data", (1, 4, 4, 2), kind="UINT8", scale=[0.5], zero_point=[127])
    weight = np.arange(-6, 6, dtype=np.int8).reshape(6, 1, 1, 2)
    weight_index = writer.tensor(
        "weight", weight.shape, weight, "INT8", scale=[0.5] * 6, zero_point=[0] * 6
    )
    bias = writer.tensor("bias", (6,), np.arange(6, dtype=np.int32), "INT32", scale=[0.25] * 6)
    mixed = writer.tensor("mixed", (1, 4, 4, 6), kind="INT8", scale=[0.1], zero_point=[3])
    writer.operator("CONV_2D", [data, weight_index, bias], [mixed], convolution("RELU6"))
    half = writer.tensor("half", (6,), np.ones(6, np.float16), "FLOAT16")
    single = writer.tensor("single", (6,))
    writer.operator("DEQUANTIZE", [half], [single])
    total = writer.tensor("total", (1, 4, 4, 6))
    writer.operator("ADD", [mixed, single], [total], schema.AddOptionsT())
    anchors = writer.tensor("anchors", (3, 4), np.ones((3, 4), np.float32))
    boxes = [writer.tensor(f"boxes {index}") for index in range(4)]
    writer.operator(
        "TFLite_Detection_PostProcess", [total, total, anchors], boxes, num_classes=90, x_scale=10.0
    )
    return writer.write(path)
