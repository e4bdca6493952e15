"""Our networks' weights as the authors' frozen graphs hold them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.segmentation.head import DeepLabV3Head
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import ImageSize
from tests.importing.graph_builder import GraphBuilder, Type
from tests.importing.graph_layers import (
    DilatedForm,
    Forms,
    NormForm,
    layer_of,
    pool,
    resize,
    write_biased,
    write_layer,
)


def mobilenet_v2_nodes(
    builder: GraphBuilder,
    network: MobileNetV2,
    image: str,
    *,
    norm: NormForm = "fused",
    dilated: DilatedForm = "attribute",
    scope: str = "MobilenetV2",
) -> dict[str, str]:
    """Writes a backbone; returns the tensor of every tap. `sizes` of the image must be set for
    `space_to_batch`."""
    forms = Forms(norm, dilated)
    data = write_layer(builder, f"{scope}/Conv", image, layer_of(network.stem), forms)
    taps = {"stem": data}
    for index, block in enumerate(network.blocks):
        inner = f"{scope}/expanded_conv" + (f"_{index}" if index else "")
        start = data
        expand = block.get_submodule("expand")
        if not isinstance(expand, nn.Identity):
            data = write_layer(builder, f"{inner}/expand", data, layer_of(expand), forms)
        taps[f"block_{index}_expansion"] = data
        for part in ("depthwise", "project"):
            layer = layer_of(block.get_submodule(part))
            data = write_layer(builder, f"{inner}/{part}", data, layer, forms)
        if block.shortcut == "bottleneck":
            size = builder.sizes.get(data)
            data = builder.sized(builder.node("Add", f"{inner}/add", [data, start]), size)
        taps[f"block_{index}"] = data
    if network.last is not None:
        data = write_layer(builder, f"{scope}/Conv_1", data, layer_of(network.last), forms)
        taps["last"] = data
    return taps


def write_image(builder: GraphBuilder, name: str, shape: Sequence[int | None], scope: str) -> str:
    """Bytes that are fed, as floats from 0 to 255."""
    fed = builder.placeholder(name, "uint8", shape)
    return builder.node("Cast", f"{scope}Cast", [fed], SrcT=Type("uint8"), DstT=Type("float32"))


def normalise(builder: GraphBuilder, scope: str, image: str) -> str:
    factor = builder.const(f"{scope}mul/x", np.float32(2 / 255))
    scaled = builder.node("Mul", f"{scope}mul", [factor, image])
    one = builder.const(f"{scope}sub/y", np.float32(1))
    return builder.node("Sub", f"{scope}sub", [scaled, one])


def classifier_graph(
    classifier: Classifier,
    input_size: ImageSize | None = None,
    *,
    norm: NormForm = "fused",
) -> Any:
    """Fed with normalised floats at `input`; pools by AvgPool if the input's size is given, and
    by Mean otherwise."""
    builder = GraphBuilder()
    image = builder.placeholder("input", "float32", [None, None, None, 3])
    if input_size is not None:
        builder.sizes[image] = tuple(input_size)
    assert isinstance(classifier.backbone, MobileNetV2)
    last = mobilenet_v2_nodes(builder, classifier.backbone, image, norm=norm)["last"]
    scope = "MobilenetV2/Logits"
    pooled = pool(builder, scope, last)
    linear = classifier.classifier
    convolution = nn.Conv2d(linear.in_features, linear.out_features, 1)
    convolution.weight.data = linear.weight.data[:, :, None, None]
    convolution.bias = linear.bias
    logits = write_biased(builder, f"{scope}/Conv2d_1c_1x1", pooled, convolution)
    logits = builder.node("Squeeze", f"{scope}/Squeeze", [logits], squeeze_dims=[1, 2])
    builder.node("Softmax", "MobilenetV2/Predictions/Softmax", [logits])
    return builder.message


def deeplab_graph(
    segmenter: Segmenter,
    input_size: ImageSize,
    *,
    norm: NormForm = "fused",
    dilated: DilatedForm = "attribute",
) -> Any:
    """Fed with bytes of `input_size` at `ImageTensor`; makes `SemanticPredictions`."""
    builder, forms = GraphBuilder(), Forms(norm, dilated)
    image = write_image(builder, "ImageTensor", [1, None, None, 3], "")
    image = builder.sized(normalise(builder, "", image), tuple(input_size))
    head = segmenter.head
    assert isinstance(head, DeepLabV3Head)
    assert isinstance(segmenter.backbone, MobileNetV2)
    taps = mobilenet_v2_nodes(builder, segmenter.backbone, image, norm=norm, dilated=dilated)
    tap = taps[head.tap_name]
    pooled = pool(builder, "image_pooling", tap)
    pooled = write_layer(builder, "image_pooling", pooled, layer_of(head.image_pooling), forms)
    branches = [resize(builder, "ResizeBilinear", pooled, builder.sizes[tap])]
    for index, branch in enumerate(head.branches):
        branches.append(_write_branch(builder, f"aspp{index}", tap, branch, forms))
    axis = builder.const("concat/axis", np.int32(3))
    joined = builder.node("ConcatV2", "concat", [*branches, axis], N=len(branches))
    joined = write_layer(builder, "concat_projection", joined, layer_of(head.project), forms)
    logits = write_biased(builder, "logits/semantic", joined, head.classifier)
    logits = resize(builder, "ResizeBilinear_1", logits, tuple(input_size))
    axis = builder.const("ArgMax/dimension", np.int32(3))
    builder.node("ArgMax", "SemanticPredictions", [logits, axis], output_type=Type("int64"))
    return builder.message


def _write_branch(
    builder: GraphBuilder, scope: str, tap: str, branch: nn.Module, forms: Forms
) -> str:
    parts = list(branch.children())
    if isinstance(parts[0], nn.Conv2d):
        return write_layer(builder, scope, tap, layer_of(branch), forms)
    inner = write_layer(builder, f"{scope}_depthwise", tap, layer_of(parts[0]), forms)
    return write_layer(builder, f"{scope}_pointwise", inner, layer_of(parts[1]), forms)
