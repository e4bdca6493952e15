from typing import Any

import numpy as np
import pytest

from mnv2_dense.importing.graphdef import graph_from_message
from tests.importing.small_graphs import CONV, KERNEL, norm_graph, only, refusal, small


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        *((op, "add") for op in ("Add", "AddV2", "AddN", "BiasAdd")),
        *((op, "div") for op in ("Div", "RealDiv")),
        ("Sub", "sub"),
        ("Mul", "mul"),
        ("Maximum", "maximum"),
        ("NonMaxSuppressionV3", "non_max_suppression_v3"),
    ],
)
def test_operations_of_two(op: str, wanted: str) -> None:
    builder = small()
    builder.const("c", np.ones(2, np.float32))
    builder.node(op, "y", ["x", "c"])
    assert only(builder) == (wanted, ("x", "c"), {})


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        *((op, "identity") for op in ("Identity", "StopGradient", "CheckNumerics")),
        ("PlaceholderWithDefault", "identity"),
        *((op, op.lower()) for op in ("Relu", "Relu6", "Sigmoid", "Softmax", "Rsqrt", "Exp")),
        ("ArgMax", "arg_max"),
        ("TensorArrayReadV3", "tensor_array_read_v3"),
        ("Conv2DBackpropInput", "conv2d_backprop_input"),
    ],
)
def test_operations_of_one(op: str, wanted: str) -> None:
    builder = small()
    builder.node(op, "y", ["x:0", "^x"])
    assert only(builder) == (wanted, ("x",), {})


def test_the_axis_of_a_concatenation_becomes_an_attribute() -> None:
    for op, order in (("ConcatV2", ["x", "x", "axis"]), ("Concat", ["axis", "x", "x"])):
        builder = small()
        builder.const("axis", np.int32(-1))
        builder.node(op, "y", order, N=2)
        assert only(builder) == ("concat", ("x", "x"), {"axis": -1})
        assert graph_from_message(builder.message, "a").constants == {}
    builder = small()
    builder.node("ConcatV2", "y", ["x", "x", "x"])
    assert "axis x is no constant" in refusal(builder)


def test_fused_layers_come_apart() -> None:
    builder = norm_graph("Identity")
    del builder.message.node[-1]
    builder.const("w", KERNEL)
    fused: dict[str, Any] = {"fused_ops": ["FusedBatchNorm", "Relu6"], "epsilon": 0.5}
    builder.node("_FusedConv2D", "y", ["x", "w", *"gbmv"], **CONV, **fused)
    builder.node("Identity", "z", ["y"])
    conv, norm, relu, identity = graph_from_message(builder.message, "a").nodes
    assert (conv.op, conv.inputs) == ("conv2d", ("x", "w"))
    assert conv.attributes["strides"] == (2, 2)
    assert (norm.op, norm.inputs) == ("batch_norm", (*conv.outputs, *"gbmv"))
    assert norm.attributes == {"epsilon": 0.5}
    assert (relu.op, relu.inputs, relu.outputs) == ("relu6", norm.outputs, ("y",))
    assert identity.inputs == ("y",)


def test_fused_layers_of_other_kinds_are_refused() -> None:
    for steps, message in ((["BiasAdd"], "reads 2 tensors, not 3"), (["Elu"], "Elu fused")):
        builder = small()
        builder.const("w", KERNEL)
        builder.node("_FusedConv2D", "y", ["x", "w"], **CONV, fused_ops=steps)
        assert message in refusal(builder)
