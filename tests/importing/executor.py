"""Runs a TensorFlow graph node by node, as TensorFlow defines its operations.

An oracle: it shares no code with the package.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NUMPY = {1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 9: np.int64, 10: np.bool_}


def run_graph(
    message: Any,
    feeds: Mapping[str, np.ndarray],
    wanted: Sequence[str],
    precision: torch.dtype = torch.float32,
) -> list[np.ndarray]:
    """Values of the `wanted` tensors of a GraphDef without loops, if `feeds` are fed.

    Any tensor may be fed, not placeholders alone. In float64 rounding hides no difference.
    """
    nodes = {node.name: node for node in message.node}
    made: dict[str, Any] = {
        name: _as(torch.as_tensor(value), precision) for name, value in feeds.items()
    }
    for tensor in wanted:
        waiting = [tensor]
        while waiting:
            name, _, _ = waiting[-1].partition(":")
            if _is_made(made, waiting[-1]):
                waiting.pop()
                continue
            inputs = _inputs(nodes[name])
            if left := [each for each in inputs if not _is_made(made, each)]:
                waiting.extend(left)
            else:
                values = [_value(made, each) for each in inputs]
                made[name] = _as(_run(nodes[name], values), precision)
    return [_value(made, tensor).numpy() for tensor in wanted]


def _as(value: Any, precision: torch.dtype) -> Any:
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(precision) if floating else value


def _inputs(node: Any) -> list[str]:
    return [each for each in node.input if not each.startswith("^")]


def _is_made(made: Mapping[str, Any], tensor: str) -> bool:
    return tensor in made or tensor.partition(":")[0] in made


def _value(made: Mapping[str, Any], tensor: str) -> Tensor:
    if tensor in made and isinstance(made[tensor], Tensor):
        return made[tensor]
    name, _, index = tensor.partition(":")
    value = made[name]
    return value[int(index or 0)] if isinstance(value, tuple) else value


def _run(node: Any, inputs: list[Tensor]) -> Any:
    if node.op == "Const":
        return _constant(node.attr["value"].tensor)
    if node.op in SIMPLE:
        return SIMPLE[node.op](node.attr, inputs)
    return FUNCTIONS[node.op](node.attr, *inputs)


def _constant(tensor: Any) -> Tensor:
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    values = np.frombuffer(tensor.tensor_content, NUMPY[tensor.dtype])
    return torch.from_numpy(values.reshape(shape).copy())


# Images are [B, H, W, C] throughout.


def _first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2)


def _last(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1)


def _pad(images: Tensor, kernel: Sequence[int], attr: Any) -> Tensor:
    """SAME: as many cells come out as strides fit in, the odd pixel goes to the end."""
    if attr["padding"].s == b"VALID":
        return images
    strides, rates = _pair(attr, "strides"), _pair(attr, "dilations")
    amounts: list[int] = []
    for side in (1, 0):
        size, reach = images.shape[1 + side], (kernel[side] - 1) * rates[side] + 1
        if size % strides[side] == 0:
            total = max(reach - strides[side], 0)
        else:
            total = max(reach - size % strides[side], 0)
        amounts += [total // 2, total - total // 2]
    return F.pad(images, (0, 0, *amounts))


def _pair(attr: Any, name: str) -> tuple[int, int]:
    listed = list(attr[name].list.i) if name in attr else [1, 1, 1, 1]
    return listed[1], listed[2]


def _conv2d(attr: Any, images: Tensor, kernel: Tensor) -> Tensor:
    padded = _first(_pad(images, kernel.shape[:2], attr))
    weight = kernel.permute(3, 2, 0, 1)
    options = {"stride": _pair(attr, "strides"), "dilation": _pair(attr, "dilations")}
    return _last(F.conv2d(padded, weight, **options))


def _depthwise(attr: Any, images: Tensor, kernel: Tensor) -> Tensor:
    padded = _first(_pad(images, kernel.shape[:2], attr))
    channels = kernel.shape[2]
    weight = kernel.permute(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
    options = {"stride": _pair(attr, "strides"), "dilation": _pair(attr, "dilations")}
    return _last(F.conv2d(padded, weight, groups=channels, **options))


def _norm(attr: Any, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    assert not attr["is_training"].b
    return (x - mean) * (gamma / torch.sqrt(var + attr["epsilon"].f)) + beta


def _average(attr: Any, images: Tensor) -> Tensor:
    assert attr["padding"].s == b"VALID"
    return _last(F.avg_pool2d(_first(images), _pair(attr, "ksize"), _pair(attr, "strides")))


def _resize(attr: Any, images: Tensor, size: Tensor) -> Tensor:
    """TensorFlow 1's: without align_corners a cell's source is its index times the scale."""
    assert not attr["half_pixel_centers"].b
    for side in (1, 2):
        images = _resize_side(images, side, int(size[side - 1]), attr["align_corners"].b)
    return images


def _resize_side(images: Tensor, side: int, wanted: int, align_corners: bool) -> Tensor:
    there = images.shape[side]
    aligned = align_corners and wanted > 1
    scale = (there - 1) / (wanted - 1) if aligned else there / wanted
    source = torch.arange(wanted, dtype=torch.float64) * scale
    low = source.floor().long().clamp(max=there - 1)
    share = (
        (source - low).to(images.dtype).reshape([-1 if each == side else 1 for each in range(4)])
    )
    before = images.index_select(side, low)
    after = images.index_select(side, (low + 1).clamp(max=there - 1))
    return before + (after - before) * share


def _space_to_batch(attr: Any, images: Tensor, block: Tensor, paddings: Tensor) -> Tensor:
    (top, bottom), (left, right) = paddings.tolist()
    padded = F.pad(images, (0, 0, left, right, top, bottom))
    rows, columns = block.tolist()
    # A batch of blocks: first all images at offset (0, 0), then at (0, 1), ...
    parts = [padded[:, y::rows, x::columns] for y in range(rows) for x in range(columns)]
    return torch.cat(parts)


def _batch_to_space(attr: Any, images: Tensor, block: Tensor, crops: Tensor) -> Tensor:
    rows, columns = block.tolist()
    batch = len(images) // (rows * columns)
    height, width, channels = images.shape[1:]
    whole = images.new_zeros(batch, height * rows, width * columns, channels)
    for index, part in enumerate(images.split(batch)):
        whole[:, index // columns :: rows, index % columns :: columns] = part
    (top, bottom), (left, right) = crops.tolist()
    return whole[:, top : height * rows - bottom, left : width * columns - right]


def _strided_slice(attr: Any, x: Tensor, start: Tensor, stop: Tensor, step: Tensor) -> Tensor:
    assert attr["shrink_axis_mask"].i == 1
    return x[int(start)]


def _slice(attr: Any, x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    for side, (first, count) in enumerate(zip(begin.tolist(), size.tolist(), strict=True)):
        x = x.narrow(side, first, x.shape[side] - first if count < 0 else count)
    return x


def _squeeze(attr: Any, x: Tensor) -> Tensor:
    return x.squeeze(tuple(attr["squeeze_dims"].list.i))


def _mean(attr: Any, x: Tensor, axes: Tensor) -> Tensor:
    return x.mean(dim=axes.tolist(), keepdim=attr["keep_dims"].b)


def _concat(attr: Any, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs[:-1], dim=int(inputs[-1]))


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "Conv2D": _conv2d,
    "DepthwiseConv2dNative": _depthwise,
    "FusedBatchNorm": _norm,
    "AvgPool": _average,
    "Mean": _mean,
    "ResizeBilinear": _resize,
    "ConcatV2": _concat,
    "SpaceToBatchND": _space_to_batch,
    "BatchToSpaceND": _batch_to_space,
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    "Squeeze": _squeeze,
}
SIMPLE: dict[str, Callable[[Any, list[Tensor]], Any]] = {
    "Identity": lambda attr, x: x[0],
    "Cast": lambda attr, x: torch.from_numpy(x[0].numpy().astype(NUMPY[attr["DstT"].type])),
    "BiasAdd": lambda attr, x: x[0] + x[1],
    "Add": lambda attr, x: x[0] + x[1],
    "AddN": lambda attr, x: sum(x),
    "Sub": lambda attr, x: x[0] - x[1],
    "Mul": lambda attr, x: x[0] * x[1],
    "Exp": lambda attr, x: x[0].exp(),
    "Rsqrt": lambda attr, x: x[0].rsqrt(),
    "Relu": lambda attr, x: x[0].clamp(min=0),
    "Relu6": lambda attr, x: x[0].clamp(0, 6),
    "Sigmoid": lambda attr, x: x[0].sigmoid(),
    "Softmax": lambda attr, x: x[0].softmax(dim=-1),
    "Shape": lambda attr, x: torch.tensor(x[0].shape, dtype=torch.int32),
    "Pack": lambda attr, x: torch.stack(x, dim=attr["axis"].i),
    "Unpack": lambda attr, x: x[0].unbind(dim=attr["axis"].i),
    "Reshape": lambda attr, x: x[0].reshape(x[1].tolist()),
    "Transpose": lambda attr, x: x[0].permute(x[1].tolist()),
    "Tile": lambda attr, x: x[0].repeat(x[1].tolist()),
    "ExpandDims": lambda attr, x: x[0].unsqueeze(int(x[1])),
    "ArgMax": lambda attr, x: x[0].argmax(dim=int(x[1])),
}
