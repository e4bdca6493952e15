from typing import Any

import numpy as np
import pytest

from mnv2_dense.importing.graphdef import graph_from_message
from tests.importing.graph_builder import GraphBuilder, Shape
from tests.importing.small_graphs import CONV, KERNEL, conv_graph, norm_graph, only, refusal, small


def test_convolutions() -> None:
    wanted = {"layout": "HWIO", "strides": (2, 2), "dilations": (1, 1), "padding": "same"}
    assert only(conv_graph()) == ("conv2d", ("x", "w"), wanted)
    found = only(conv_graph(dilations=[1, 2, 3, 1], padding="VALID", strides=[1, 1, 1, 1]))
    wanted = {"layout": "HWIO", "strides": (1, 1), "dilations": (2, 3), "padding": "valid"}
    assert found == ("conv2d", ("x", "w"), wanted)
    builder = small()
    builder.const("w", KERNEL)
    builder.node("DepthwiseConv2dNative", "conv", ["x", "w"], **CONV)
    assert only(builder)[0] == "depthwise_conv2d"
    assert only(builder)[2]["layout"] == "HWCM"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_format": "NCHW"}, "data_format NCHW"),
        ({"padding": "EXPLICIT"}, "padding EXPLICIT"),
        ({"strides": [2, 2]}, "strides"),
        ({"strides": [1, 2, 2, 2]}, "strides"),
        ({"dilations": [1, 0, 1, 1]}, "dilations"),
        ({"padding": 3}, "padding of conv is of another type"),
    ],
)
def test_convolutions_of_other_kinds_are_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(conv_graph(**changes))


@pytest.mark.parametrize("op", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
def test_batch_norms(op: str) -> None:
    _, inputs, attributes = only(norm_graph(op, is_training=False, epsilon=0.25))
    assert inputs == ("x", *"gbmv")
    assert attributes == {"epsilon": 0.25}
    assert only(norm_graph(op, is_training=False))[2] == {"epsilon": 1e-4}


def test_batch_norms_in_training_are_refused() -> None:
    assert "training mode" in refusal(norm_graph("FusedBatchNorm", is_training=True))
    assert "training mode" in refusal(norm_graph("FusedBatchNorm"))


def test_simple_attributes_are_kept() -> None:
    builder = small()
    many: dict[str, Any] = {"i": 3, "f": 0.5, "b": True, "s": "text", "l": [1, 2]}
    builder.node("Something", "y", ["x"], **many, shape=Shape([1, None]))
    assert only(builder)[2] == {**many, "l": (1, 2), "shape": (1, -1)}


def test_pools_resizing_and_dense_layers() -> None:
    builder = small()
    builder.node("AvgPool", "y", ["x"], ksize=[1, 7, 5, 1], strides=[1, 1, 1, 1], padding="VALID")
    wanted = {"kernel": (7, 5), "strides": (1, 1), "padding": "valid"}
    assert only(builder) == ("avg_pool", ("x",), wanted)
    builder = small()
    builder.const("size", np.array([9, 9], np.int32))
    builder.node("ResizeBilinear", "y", ["x", "size"], align_corners=True)
    wanted = {"align_corners": True, "half_pixel_centers": False}
    assert only(builder) == ("resize_bilinear", ("x", "size"), wanted)
    for transposed, layout in ((False, "IO"), (True, "OI")):
        builder = small()
        builder.const("w", np.ones((2, 2), np.float32))
        builder.node("MatMul", "y", ["x", "w"], transpose_b=transposed)
        assert only(builder) == ("dense", ("x", "w"), {"layout": layout})


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16", "int32", "int64"])
def test_types_of_what_is_fed(dtype: str) -> None:
    builder = GraphBuilder()
    builder.placeholder("x", dtype, [1])
    assert graph_from_message(builder.message, "a.pb").inputs["x"].dtype == dtype
    builder.message.node[0].attr["dtype"].type = 6
    assert graph_from_message(builder.message, "a.pb").inputs["x"].dtype == "type 6"
