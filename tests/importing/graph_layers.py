"""Layers of our networks as TensorFlow graphs hold them, in all their forms."""

from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor, nn

from tests.importing.graph_builder import GraphBuilder

NormForm = Literal["fused", "unfused", "folded"]
DilatedForm = Literal["attribute", "space_to_batch"]


class Layer(NamedTuple):
    """What TensorFlow writes as one layer; the forms say how."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    activation: nn.Module | None


class Forms(NamedTuple):
    norm: NormForm = "fused"
    dilated: DilatedForm = "attribute"


def layer_of(module: nn.Module) -> Layer:
    """Of a `ConvNormAct` or an `ImagePooling`."""
    convolution, norm, *activation = module.children()
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return Layer(convolution, norm, activation[0] if activation else None)


def write_layer(builder: GraphBuilder, scope: str, data: str, layer: Layer, forms: Forms) -> str:
    convolution, norm, activation = layer
    weight = convolution.weight.detach()
    if forms.norm == "folded":
        weight = (weight.double() * _scale(norm)[:, None, None, None]).float()
    made = write_convolution(builder, scope, data, convolution, weight, forms.dilated)
    size = builder.sizes.get(made)
    made = _WRITE_NORM[forms.norm](builder, f"{scope}/BatchNorm", made, norm)
    if activation is not None:
        op = "Relu6" if isinstance(activation, nn.ReLU6) else "Relu"
        made = builder.node(op, f"{scope}/{op}", [made])
    return builder.sized(made, size)


def write_convolution(
    builder: GraphBuilder,
    scope: str,
    data: str,
    convolution: nn.Conv2d,
    weight: Tensor,
    dilated: DilatedForm = "attribute",
) -> str:
    """SAME padding, whatever pads in our network."""
    depthwise = convolution.groups > 1
    order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
    kernel = read(
        builder,
        f"{scope}/{'depthwise_weights' if depthwise else 'weights'}",
        weight.permute(*order).contiguous().numpy(),
    )
    op, short = ("DepthwiseConv2dNative", "depthwise") if depthwise else ("Conv2D", "Conv2D")
    name, rate, stride = f"{scope}/{short}", convolution.dilation[0], convolution.stride[0]
    options: dict[str, Any] = {"strides": [1, stride, stride, 1], "data_format": "NHWC"}
    size = builder.sizes.get(data)
    if rate == 1 or dilated == "attribute":
        rates = [1, rate, rate, 1]
        made = builder.node(op, name, [data, kernel], **options, dilations=rates, padding="SAME")
    else:
        assert size is not None, f"set builder.sizes of the image, for {name}"
        paddings, crops = batch_sides(size, convolution.kernel_size[0], rate)
        block = builder.const(f"{name}/block_shape", np.array([rate, rate], np.int32))
        pads = builder.const(f"{name}/paddings", np.array(paddings, np.int32))
        cuts = builder.const(f"{name}/crops", np.array(crops, np.int32))
        split = builder.node("SpaceToBatchND", f"{name}/SpaceToBatchND", [data, block, pads])
        made = builder.node(op, name, [split, kernel], **options, padding="VALID")
        made = builder.node("BatchToSpaceND", f"{name}/BatchToSpaceND", [made, block, cuts])
    cells = None if size is None else (-(-size[0] // stride), -(-size[1] // stride))
    return builder.sized(made, cells)


def batch_sides(
    size: tuple[int, int], kernel: int, rate: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Paddings and crops with which a convolution at `rate` has TensorFlow's SAME padding."""
    total = (kernel - 1) * rate
    extra = [-(side + total) % rate for side in size]
    before = total // 2
    return [[before, total - before + more] for more in extra], [[0, more] for more in extra]


def read(builder: GraphBuilder, name: str, array: np.ndarray) -> str:
    """A frozen variable."""
    return builder.node("Identity", f"{name}/read", [builder.const(name, array)])


def write_biased(
    builder: GraphBuilder,
    scope: str,
    data: str,
    convolution: nn.Conv2d,
    order: Tensor | None = None,
) -> str:
    """A convolution with bias; `order` rearranges its outputs."""
    assert convolution.bias is not None
    chosen = slice(None) if order is None else order
    weight = convolution.weight.detach()[chosen]
    made = write_convolution(builder, scope, data, convolution, weight)
    bias = read(builder, f"{scope}/biases", convolution.bias.detach()[chosen].numpy())
    return builder.node("BiasAdd", f"{scope}/BiasAdd", [made, bias], data_format="NHWC")


def pool(builder: GraphBuilder, scope: str, data: str) -> str:
    """The mean of a map: by AvgPool where its size is known."""
    size = builder.sizes.get(data)
    if size is None:
        axes = builder.const(f"{scope}/Mean/axes", np.array([1, 2], np.int32))
        return builder.node("Mean", f"{scope}/Mean", [data, axes], keep_dims=True)
    options: dict[str, Any] = {"ksize": [1, *size, 1], "strides": [1, 1, 1, 1]}
    return builder.node("AvgPool", f"{scope}/AvgPool", [data], **options, padding="VALID")


def resize(
    builder: GraphBuilder,
    name: str,
    data: str,
    size: tuple[int, ...],
    *,
    align_corners: bool = True,
) -> str:
    wanted = builder.const(f"{name}/size", np.array(size, np.int32))
    options: dict[str, Any] = {"align_corners": align_corners, "half_pixel_centers": False}
    return builder.node("ResizeBilinear", name, [data, wanted], **options)


def _scale(norm: nn.BatchNorm2d) -> Tensor:
    _, _, _, variance = _statistics(norm)
    return norm.weight.detach().double() / (variance.double() + norm.eps).sqrt()


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.weight.detach(), norm.bias.detach(), norm.running_mean, norm.running_var


def _parameters(builder: GraphBuilder, scope: str, norm: nn.BatchNorm2d) -> list[str]:
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return [
        read(builder, f"{scope}/{name}", tensor.numpy())
        for name, tensor in zip(names, _statistics(norm), strict=True)
    ]


def _fused_norm(builder: GraphBuilder, scope: str, data: str, norm: nn.BatchNorm2d) -> str:
    inputs = [data, *_parameters(builder, scope, norm)]
    options: dict[str, Any] = {"epsilon": norm.eps, "is_training": False, "data_format": "NHWC"}
    return builder.node("FusedBatchNorm", f"{scope}/FusedBatchNorm", inputs, **options)


def _unfused_norm(builder: GraphBuilder, scope: str, data: str, norm: nn.BatchNorm2d) -> str:
    gamma, beta, mean, variance = _parameters(builder, scope, norm)
    inner = f"{scope}/batchnorm"
    epsilon = builder.const(f"{inner}/add/y", np.float32(norm.eps))
    root = builder.node("Add", f"{inner}/add", [variance, epsilon])
    root = builder.node("Rsqrt", f"{inner}/Rsqrt", [root])
    scale = builder.node("Mul", f"{inner}/mul", [root, gamma])
    scaled = builder.node("Mul", f"{inner}/mul_1", [data, scale])
    offset = builder.node("Mul", f"{inner}/mul_2", [mean, scale])
    offset = builder.node("Sub", f"{inner}/sub", [beta, offset])
    return builder.node("Add", f"{inner}/add_1", [scaled, offset])


def _folded_norm(builder: GraphBuilder, scope: str, data: str, norm: nn.BatchNorm2d) -> str:
    _, beta, mean, _ = _statistics(norm)
    offset = (beta.double() - mean.double() * _scale(norm)).float()
    bias = builder.const(f"{scope}/batchnorm/sub", offset.numpy())
    return builder.node("Add", f"{scope}/batchnorm/add_1", [data, bias])


_WRITE_NORM = {"fused": _fused_norm, "unfused": _unfused_norm, "folded": _folded_norm}
