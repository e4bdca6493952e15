from typing import Any

import pytest

from mnv2_dense.backbone.mobilenet_v2 import PUBLISHED_WIDTHS, plan_blocks
from mnv2_dense.errors import UserError
from mnv2_dense.importing.mobilenet_v2 import Shape, find_settings


def shape_of(
    width: float = 1.0, stride: int = 32, expansion: int = 6, least: int = 8, divisor: int = 8
) -> Shape:
    plans = plan_blocks(width, stride, expansion, least, divisor)
    outputs = tuple(plan.out_channels for plan in plans)
    steps = tuple((plan.stride, plan.dilation) for plan in plans)
    return Shape(plans[0].in_channels, outputs, expansion, steps)


@pytest.mark.parametrize("width", PUBLISHED_WIDTHS)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_published_widths(width: float, stride: int) -> None:
    found = find_settings(shape_of(width, stride), "here.pb")
    assert (found["width_mult"], found["output_stride"]) == (width, stride)
    assert (found["min_channels"], found["channel_divisor"], found["expansion"]) == (8, 8, 6)


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0.5, "least": 16},
        {"width": 0.25, "least": 16},
        {"width": 0.5, "divisor": 1},
        {"width": 0.3, "divisor": 1, "least": 1},
        {"width": 1.7},
        {"width": 0.75, "expansion": 4},
    ],
)
def test_other_shapes_are_built_again(options: dict[str, Any]) -> None:
    shape = shape_of(**options)
    found = find_settings(shape, "here.pb")
    keys = {"width": "width_mult", "stride": "output_stride", "expansion": "expansion"}
    keys |= {"least": "min_channels", "divisor": "channel_divisor"}
    assert shape_of(**{ours: found[key] for ours, key in keys.items()}) == shape


def test_other_channels_or_steps_are_refused() -> None:
    shape = shape_of()
    for other in (
        shape._replace(stem=33),
        shape._replace(outputs=(*shape.outputs[:-1], 321)),
        shape._replace(steps=((1, 2), *shape.steps[1:])),
    ):
        with pytest.raises(UserError, match=r"^here.pb: a MobileNetV2 of channels 3\d, 16, 24"):
            find_settings(other, "here.pb")
