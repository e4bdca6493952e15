"""The backbone in a file: its layers, width, output stride and taps."""

from itertools import product
from typing import Any, NamedTuple

from mnv2_dense.backbone.mobilenet_v2 import PUBLISHED_WIDTHS, BlockPlan, plan_blocks, plan_last
from mnv2_dense.errors import UserError
from mnv2_dense.importing.layers import Layer
from mnv2_dense.importing.walk import Walk

BLOCKS = 17
_ROUNDINGS = ((8, 8), (8, 16), (1, 8), (1, 1))
"""Divisor of channels and their least number: the paper's, those of TF's Object Detection API,
and of the authors' narrow DeepLabs."""
_SHORTCUTS = [plan.shortcut for plan in plan_blocks(1.0, 32)]
"""Whether the paper's table allows a bottleneck a shortcut, its channels permitting."""
_WIDTHS = (*PUBLISHED_WIDTHS, *(hundredths / 100 for hundredths in range(5, 401)))
"""Widths that are looked for, published ones first."""


class Shape(NamedTuple):
    """What tells one MobileNetV2 from another: channels and steps of its layers.

    Attributes:
        stem: Channels of the first layer.
        outputs: Channels of the bottlenecks.
        expansion: Factor t of every bottleneck but the first.
        steps: Stride and dilation of the bottlenecks.
    """

    stem: int
    outputs: tuple[int, ...]
    expansion: int
    steps: tuple[tuple[int, int], ...]


class FoundBackbone(NamedTuple):
    """A backbone that has its places: keys of the config's section, and steps by tap name."""

    settings: dict[str, Any]
    taps: dict[str, int]

    def plans(self) -> list[BlockPlan]:
        """Its bottlenecks."""
        keys = ("width_mult", "output_stride", "expansion", "min_channels", "channel_divisor")
        return plan_blocks(*(self.settings[key] for key in keys))


def place_backbone(walk: Walk) -> FoundBackbone:
    """Gives the layers up to the last bottleneck their places.

    Raises:
        UserError: They are not MobileNetV2's, or of no width that is known here.
    """
    stem = walk.only(walk.layers_after(0, depthwise=False), "first layer")
    first = walk.place(stem, "backbone.stem", kernel=3, stride=2)
    taps, current = {"stem": stem}, stem
    outputs: list[int] = []
    steps: list[tuple[int, int]] = []
    expansions: set[int] = set()
    for index in range(BLOCKS):
        source = current
        if index > 0:
            current = _place_expansion(walk, index, source)
            taps[f"block_{index}_expansion"] = current
            ratio, rest = divmod(walk.layer(current).channels, walk.layer(source).channels)
            expansions.add(0 if rest else ratio)
        depthwise = _place_depthwise(walk, index, current)
        current = _place_projection(walk, index, depthwise, source)
        taps[f"block_{index}"] = current
        outputs.append(walk.layer(current).channels)
        layer = walk.layer(depthwise)
        steps.append((layer.stride, layer.dilation))
    if len(expansions) != 1 or 0 in expansions:
        raise walk.unknown(f"expansion factors of {sorted(expansions)}")
    shape = Shape(first.channels, tuple(outputs), expansions.pop(), tuple(steps))
    settings = find_settings(shape, walk.file)
    # Only where the first bottleneck keeps its channels, in narrow networks, is there a choice.
    if first.channels == outputs[0] and not walk.layer(taps["block_0"]).added:
        settings["first_shortcut"] = False
    return FoundBackbone({**settings, "padding": "same"}, taps)


def place_last(walk: Walk, found: FoundBackbone) -> int:
    """Gives the 1280-channel layer its place, and returns its step."""
    readers = walk.layers_after(found.taps["block_16"], depthwise=False)
    number = walk.only(readers, "1x1 layer behind the last bottleneck")
    channels = walk.place(number, "backbone.last").channels
    found.taps["last"] = number
    if channels != plan_last(found.settings["width_mult"]):
        found.settings["last_channels"] = channels
    return number


def _place_expansion(walk: Walk, index: int, source: int) -> int:
    readers = walk.layers_after(source, depthwise=False)
    number = walk.only(readers, f"expansion of block {index}")
    walk.place(number, f"backbone.blocks.{index}.expand")
    return number


def _place_depthwise(walk: Walk, index: int, source: int) -> int:
    readers = walk.layers_after(source, depthwise=True)
    trunk = [number for number in readers if not is_predictor(walk, number)]
    number = walk.only(trunk or readers, f"depthwise layer of block {index}")
    layer = walk.layer(number)
    walk.place(
        number,
        f"backbone.blocks.{index}.depthwise",
        kernel=3,
        stride=layer.stride,
        dilation=layer.dilation,
        depthwise=True,
    )
    return number


def _place_projection(walk: Walk, index: int, depthwise: int, source: int) -> int:
    behind = walk.layers_after(depthwise, depthwise=False)
    number = walk.only(behind, f"projection of block {index}")
    layer = walk.layer(number)
    prefix = f"backbone.blocks.{index}.project"
    walk.place(
        number,
        f"backbone.blocks.{index}",
        activation=None,
        added=(source,) if layer.added else (),
        names=(f"{prefix}.0", f"{prefix}.1"),
    )
    keeps = layer.channels == walk.layer(source).channels and _SHORTCUTS[index]
    if bool(layer.added) != keeps and not (index == 0 and keeps):
        raise walk.unknown(f"{layer.node.name} has {'a' if layer.added else 'no'} shortcut")
    return number


def is_predictor(walk: Walk, depthwise: int) -> bool:
    """Whether a depthwise layer begins a prediction: its 1x1 layer is read by no further layer."""
    behind = walk.layers_after(depthwise, depthwise=False)
    return len(behind) == 1 and not any(
        isinstance(walk.steps.items[reader], Layer) for reader in walk.steps.readers(behind[0])
    )


def find_settings(shape: Shape, file: str) -> dict[str, Any]:
    """Keys of the config's `backbone` section that build a network of some shape.

    Raises:
        UserError: No width or output stride known here gives these layers.
    """
    for (divisor, least), width, output_stride in product(_ROUNDINGS, _WIDTHS, (32, 16, 8)):
        plans = plan_blocks(width, output_stride, shape.expansion, least, divisor)
        if shape == Shape(
            plans[0].in_channels,
            tuple(plan.out_channels for plan in plans),
            shape.expansion,
            tuple((plan.stride, plan.dilation) for plan in plans),
        ):
            return {
                "name": "mobilenet_v2",
                "width_mult": width,
                "min_channels": least,
                "channel_divisor": divisor,
                "expansion": shape.expansion,
                "output_stride": output_stride,
            }
    raise UserError(
        f"{file}: a MobileNetV2 of channels {shape.stem}, {', '.join(map(str, shape.outputs))} "
        f"(strides and dilations {', '.join(f'{s}/{d}' for s, d in shape.steps)}) is of no width "
        "multiplier and output stride that is known here"
    )
