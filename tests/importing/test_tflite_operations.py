from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from mnv2_dense.errors import UserError
from mnv2_dense.importing.tflite import read_tflite
from tests.importing.flatbuffers_models import ModelWriter, convolution, write_everything
from tests.importing.released_files import DEEPLAB, DEEPLAB_FLOAT, DEEPLAB_HALF, SSDLITE
from tests.importing.small_models import read_unary, write_convolution

DEEPLAB_OPERATORS = {"CONV_2D": 38, "DEPTHWISE_CONV_2D": 17, "ADD": 10, "RELU": 3, "RELU6": 34}


def test_a_bias_may_be_left_out(path: Path) -> None:
    graph = read_tflite(write_convolution(path, convolution(), -1))
    assert graph.nodes[0].inputs == ("data", "weight")
    assert graph.nodes[0].outputs == ("made",)


def test_an_input_before_the_last_may_not(path: Path) -> None:
    writer = ModelWriter()
    writer.operator("CONV_2D", [writer.tensor("data"), -1, 0], [writer.tensor("made")])
    with pytest.raises(UserError, match=r"made \(conv2d\) leaves out an input"):
        read_tflite(writer.write(path))


def test_windows_are_height_first(path: Path) -> None:
    options = schema.Pool2DOptionsT()
    options.filterHeight, options.filterWidth, options.strideH, options.strideW = 2, 3, 4, 5
    options.padding = schema.Padding.VALID
    assert read_unary(path, "AVERAGE_POOL_2D", options).attributes == {
        "kernel": (2, 3),
        "strides": (4, 5),
        "padding": "valid",
    }
    options = schema.DepthwiseConv2DOptionsT()
    options.strideH, options.strideW, options.depthMultiplier = 1, 2, 1
    options.dilationHFactor, options.dilationWFactor = 3, 4
    node = read_unary(path, "DEPTHWISE_CONV_2D", options, extra=1)
    assert node.op == "depthwise_conv2d"
    assert node.attributes == {
        "layout": "1HWC",
        "dilations": (3, 4),
        "strides": (1, 2),
        "padding": "same",
    }


def test_a_depth_multiplier_is_refused(path: Path) -> None:
    options = schema.DepthwiseConv2DOptionsT()
    options.strideH, options.strideW, options.depthMultiplier = 1, 1, 2
    with pytest.raises(UserError, match=r"made \(depthwise_conv2d\): depth multiplier 2"):
        read_unary(path, "DEPTHWISE_CONV_2D", options, extra=1)


def test_options_of_other_operations(path: Path) -> None:
    resize = schema.ResizeBilinearOptionsT()
    resize.alignCorners = True
    assert read_unary(path, "RESIZE_BILINEAR", resize, extra=1).attributes == {
        "align_corners": True,
        "half_pixel_centers": False,
    }
    concatenation = schema.ConcatenationOptionsT()
    concatenation.axis = -1
    node = read_unary(path, "CONCATENATION", concatenation, extra=3)
    assert (node.op, len(node.inputs), node.attributes) == ("concat", 4, {"axis": -1})
    dense = read_unary(path, "FULLY_CONNECTED", schema.FullyConnectedOptionsT(), extra=1)
    assert (dense.op, dense.attributes["layout"]) == ("dense", "OI")
    reducer = schema.ReducerOptionsT()
    reducer.keepDims = True
    assert read_unary(path, "MEAN", reducer, extra=1).attributes == {"keep_dims": True}


@pytest.mark.parametrize(
    ("builtin", "op", "extra"),
    [
        *(("ADD", "add", 1), ("SUB", "sub", 1), ("MUL", "mul", 1), ("DIV", "div", 1)),
        *(("LOGISTIC", "sigmoid", 0), ("RELU", "relu", 0), ("RELU6", "relu6", 0)),
        *(("SPACE_TO_BATCH_ND", "space_to_batch_nd", 2), ("RSQRT", "rsqrt", 0)),
        *(("BATCH_TO_SPACE_ND", "batch_to_space_nd", 2), ("ADD_N", "add", 3)),
        *(
            ("HARD_SWISH", "hard_swish", 0),
            ("RESHAPE", "reshape", 1),
            ("Conv2D", "custom_Conv2D", 1),
        ),
    ],
)
def test_names_of_operations(builtin: str, op: str, extra: int, path: Path) -> None:
    node = read_unary(path, builtin, extra=extra)
    assert (node.op, node.name, node.outputs) == (op, "made", ("made",))
    assert node.attributes == {}


def test_options_of_the_post_process(path: Path) -> None:
    node = read_tflite(write_everything(path)).nodes[-1]
    assert node.attributes == {"num_classes": 90, "x_scale": 10.0}
    assert node.inputs == ("total", "total", "anchors")
    assert node.outputs == ("boxes 0", "boxes 1", "boxes 2", "boxes 3")


def test_an_option_that_is_no_number_is_refused(path: Path) -> None:
    writer = ModelWriter()
    data = writer.tensor("data")
    options: Any = {"num_classes": [[1, 2], [3]]}
    writer.operator("TFLite_Detection_PostProcess", [data] * 3, [writer.tensor("made")], **options)
    with pytest.raises(UserError, match="has an option that is no number"):
        read_tflite(writer.write(path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            DEEPLAB_FLOAT,
            {**DEEPLAB_OPERATORS, "AVERAGE_POOL_2D": 1, "RESIZE_BILINEAR": 3, "CONCATENATION": 1},
        ),
        *(
            (
                name,
                {
                    **DEEPLAB_OPERATORS,
                    **{"AVERAGE_POOL_2D": 1, "RESIZE_BILINEAR": 3, "CONCATENATION": 1},
                    **{"QUANTIZE": 1, "ARG_MAX": 1},
                },
            )
            for name in (DEEPLAB, DEEPLAB_HALF)
        ),
    ],
)
def test_operations_of_the_real_segmenters(
    name: str, expected: dict[str, int], shared: Path
) -> None:
    ours = {
        "CONV_2D": "conv2d",
        "DEPTHWISE_CONV_2D": "depthwise_conv2d",
        "AVERAGE_POOL_2D": "avg_pool",
        "CONCATENATION": "concat",
        "QUANTIZE": "identity",
    }
    graph = read_tflite(shared / "data/weights" / name)
    assert Counter(node.op for node in graph.nodes) == {
        ours.get(op, op.lower()): number for op, number in expected.items()
    }
    assert graph.quantized == (name != DEEPLAB_FLOAT)
    resizes = [node.attributes for node in graph.nodes if node.op == "resize_bilinear"]
    assert resizes == [{"align_corners": True, "half_pixel_centers": False}] * 3


def test_the_real_detector(shared: Path) -> None:
    graph = read_tflite(shared / "data/weights" / SSDLITE)
    count = Counter(node.op for node in graph.nodes)
    assert (count["conv2d"], count["depthwise_conv2d"], count["relu6"]) == (55, 33, 59)
    (post_process,) = (node for node in graph.nodes if node.op == "detection_post_process")
    assert post_process.attributes == {
        **{"x_scale": 10, "y_scale": 10, "h_scale": 5, "w_scale": 5},
        **{"num_classes": 90, "max_detections": 100, "max_classes_per_detection": 1},
        **{"nms_score_threshold": 0, "use_regular_nms": 0},
        "nms_iou_threshold": pytest.approx(0.6),
    }
    anchors = graph.constants[post_process.inputs[2]]
    assert (anchors.shape, anchors.dtype) == ((933, 4), np.float32)
    assert len(graph.outputs) == 4
