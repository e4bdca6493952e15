"""Our detector's weights as the authors' frozen graph holds them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.detection.network import Detector
from mnv2_dense.structures import ImageSize
from tests.importing.graph_builder import GraphBuilder, Type
from tests.importing.graph_layers import (
    Forms,
    NormForm,
    layer_of,
    resize,
    write_biased,
    write_layer,
)
from tests.importing.networks import mobilenet_v2_nodes, normalise, write_image

DECODE = """
Transpose transpose Reshape_1 swap
Unpack unstack transpose
Mul div unstack recip_10
Mul div_1 unstack:1 recip_10
Mul div_2 unstack:2 recip_5
Mul div_3 unstack:3 recip_5
Exp Exp_1 div_2
Exp Exp div_3
Transpose anchors/transpose Reshape swap
Unpack anchors/unstack anchors/transpose
Sub anchors/sub anchors/unstack:3 anchors/unstack:1
Sub anchors/sub_1 anchors/unstack:2 anchors/unstack
Mul anchors/div anchors/sub_1 half
Mul anchors/div_1 anchors/sub half
Add anchors/add anchors/unstack anchors/div
Add anchors/add_1 anchors/unstack:1 anchors/div_1
Mul mul_2 div anchors/sub_1
Mul mul_3 div_1 anchors/sub
Mul div_4 anchors/div Exp_1
Mul div_5 anchors/div_1 Exp
Add add mul_2 anchors/add
Add add_1 mul_3 anchors/add_1
Sub sub add div_4
Sub sub_1 add_1 div_5
Add add_2 add div_4
Add add_3 add_1 div_5
Pack stack sub sub_1 add_2 add_3
Transpose transpose_1 stack swap
"""
"""The release's decoding: operation, name, inputs; `anchors/` is a longer name there."""


def ssdlite_graph(
    detector: Detector, input_size: ImageSize, norm: NormForm = "fused", scores: bool = True
) -> Any:
    """Fed with bytes of any size at `image_tensor`.

    Makes `concat` [B, A, 1, 4] and `concat_1` [B, A, 1 + C], and with `scores` also
    `Postprocessor/Slice` [B, A, C] and `Postprocessor/ExpandDims_1` [B, A, 1, 4] (ymin, xmin,
    ymax, xmax).
    """
    builder = GraphBuilder()
    image = write_image(builder, "image_tensor", [None, None, None, 3], "")
    scope = "Preprocessor/"
    image = resize(builder, f"{scope}ResizeBilinear", image, tuple(input_size), align_corners=False)
    image = builder.sized(normalise(builder, scope, image), tuple(input_size))
    assert isinstance(detector.backbone, MobileNetV2)
    scope = "FeatureExtractor/MobilenetV2"
    taps = mobilenet_v2_nodes(builder, detector.backbone, image, norm=norm, scope=scope)
    levels = [taps[name] for name in detector.head.tap_names]
    for index, extra in enumerate(detector.head.extras, start=2):
        levels.append(_write_extra(builder, scope, levels[-1], extra, index, norm))
    boxes, classes = zip(
        *(_write_predictor(builder, detector, index, level) for index, level in enumerate(levels)),
        strict=True,
    )
    axis = builder.const("concat/axis", np.int32(1))
    builder.node("ConcatV2", "concat", [*boxes, axis], N=len(boxes))
    axis = builder.const("concat_1/axis", np.int32(1))
    builder.node("ConcatV2", "concat_1", [*classes, axis], N=len(classes))
    if scores:
        cells = [ImageSize(*builder.sizes[level]) for level in levels]
        anchors = detector.anchor_generator(cells, input_size, torch.device("cpu"))
        _write_postprocessor(builder, anchors)
    return builder.message


def _write_extra(
    builder: GraphBuilder, scope: str, data: str, extra: nn.Module, index: int, norm: NormForm
) -> str:
    reduce, depthwise, project = (layer_of(part) for part in extra.children())
    half, full = reduce.convolution.out_channels, project.convolution.out_channels
    names = (
        f"layer_19_1_Conv2d_{index}_1x1_{half}",
        f"layer_19_2_Conv2d_{index}_3x3_s2_{full}_depthwise",
        f"layer_19_2_Conv2d_{index}_3x3_s2_{full}",
    )
    for name, layer in zip(names, (reduce, depthwise, project), strict=True):
        data = write_layer(builder, f"{scope}/{name}", data, layer, Forms(norm))
    return data


def _write_predictor(
    builder: GraphBuilder, detector: Detector, index: int, level: str
) -> tuple[str, str]:
    """The reshaped boxes and class logits of one level; its norms are fused, as released."""
    scope, size = f"BoxPredictor_{index}", builder.sizes[level]
    count = size[0] * size[1] * detector.anchor_generator.counts[index]
    batch = _batch(builder, scope, level)
    # y comes before x there.
    order = torch.arange(4 * detector.anchor_generator.counts[index])
    order = order.reshape(-1, 4)[:, [1, 0, 3, 2]].flatten()
    reshaped = []
    for short, name, branches, sides in (
        ("", "BoxEncodingPredictor", detector.head.box_branches, [1, 4]),
        ("_1", "ClassPredictor", detector.head.class_branches, [detector.head.num_slots]),
    ):
        depthwise, pointwise = branches[index].children()
        assert isinstance(pointwise, nn.Conv2d)
        inner = f"{scope}/{name}"
        data = write_layer(builder, f"{inner}_depthwise", level, layer_of(depthwise), Forms())
        data = write_biased(builder, inner, data, pointwise, None if short else order)
        stack = f"{scope}/stack{short}"
        parts = [
            builder.const(f"{stack}/{place}", np.int32(side))
            for place, side in enumerate([count, *sides], start=1)
        ]
        shape = builder.node("Pack", stack, [batch, *parts], axis=0, N=len(parts) + 1)
        reshaped.append(builder.node("Reshape", f"{scope}/Reshape{short}", [data, shape]))
    return reshaped[0], reshaped[1]


def _batch(builder: GraphBuilder, scope: str, data: str) -> str:
    """The first side of a tensor, as an integer."""
    shape = builder.node("Shape", f"{scope}/Shape", [data], out_type=Type("int32"))
    name = f"{scope}/strided_slice"
    start = builder.const(f"{name}/stack", np.array([0], np.int32))
    stop = builder.const(f"{name}/stack_1", np.array([1], np.int32))
    return builder.node("StridedSlice", name, [shape, start, stop, stop], shrink_axis_mask=1)


def _write_postprocessor(builder: GraphBuilder, anchors: Tensor) -> None:
    scope = "Postprocessor"

    def integers(name: str, *values: int) -> str:
        return builder.const(f"{scope}/{name}", np.array(values, np.int32))

    scores = builder.node("Sigmoid", f"{scope}/convert_scores", ["concat_1"])
    begin, size = integers("Slice/begin", 0, 0, 1), integers("Slice/size", -1, -1, -1)
    builder.node("Slice", f"{scope}/Slice", [scores, begin, size])

    boxes = builder.node("Squeeze", "Squeeze", ["concat"], squeeze_dims=[2])
    batch = _batch(builder, scope, boxes)
    center, half = anchors[:, [1, 0]], anchors[:, [3, 2]] / 2
    corners = torch.cat([center - half, center + half], dim=1)
    constant = builder.const(f"{scope}/ExpandDims", corners[None].numpy())
    one = builder.const(f"{scope}/Tile/multiples/1", np.int32(1))
    repeats = builder.node("Pack", f"{scope}/Tile/multiples", [batch, one, one], axis=0, N=3)
    tiled = builder.node("Tile", f"{scope}/Tile", [constant, repeats])
    rows = integers("Reshape_1/shape", -1, 4)
    inner = f"{scope}/Decode"
    made = {
        "Reshape": builder.node("Reshape", f"{scope}/Reshape", [tiled, rows]),
        "Reshape_1": builder.node("Reshape", f"{scope}/Reshape_1", [boxes, rows]),
        "swap": integers("Decode/transpose/sub_1", 1, 0),
        "recip_10": builder.const(f"{inner}/div_recip", np.float32(0.1)),
        "recip_5": builder.const(f"{inner}/div_2_recip", np.float32(0.2)),
        "half": builder.const(f"{inner}/div_4_recip", np.float32(0.5)),
    }
    for line in DECODE.split("\n")[1:-1]:
        op, name, *inputs = line.split()
        sources = [each.partition(":") for each in inputs]
        full = f"{inner}/{name}".replace("anchors/", "get_center_coordinates_and_sizes/")
        options = {"Unpack": {"num": 4, "axis": 0}, "Pack": {"N": 4, "axis": 0}}.get(op, {})
        read_names = [made[source] + colon + output for source, colon, output in sources]
        made[name] = builder.node(op, full, read_names, **options)
    count = builder.const(f"{scope}/stack/1", np.int32(len(anchors)))
    four = builder.const(f"{scope}/stack/2", np.int32(4))
    shape = builder.node("Pack", f"{scope}/stack", [batch, count, four], axis=0, N=3)
    decoded = builder.node("Reshape", f"{scope}/Reshape_2", [made["transpose_1"], shape])
    place = builder.const(f"{scope}/ExpandDims_1/dim", np.int32(2))
    builder.node("ExpandDims", f"{scope}/ExpandDims_1", [decoded, place])
