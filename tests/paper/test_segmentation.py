import torch

from mnv2_dense.paper.measure import measure
from mnv2_dense.paper.segmentation import (
    MULTI_SCALE_SIDES,
    V2_LIGHT,
    build,
    count_multi_scale,
)
from mnv2_dense.structures import ImageSize


def test_the_six_sides() -> None:
    assert MULTI_SCALE_SIDES == (257, 385, 513, 641, 769, 897)


def test_networks_lie_on_the_meta_device_at_the_asked_stride() -> None:
    network = build(V2_LIGHT, output_stride=8)
    assert next(network.parameters()).device == torch.device("meta")
    assert network.backbone.specs[0].stride == 8


def test_all_scales_are_counted_twice_and_parameters_once() -> None:
    network = build(V2_LIGHT, output_stride=8)
    each = [measure(network, ImageSize(side, side)) for side in MULTI_SCALE_SIDES]
    counts = count_multi_scale(V2_LIGHT)
    assert counts.parameters == each[0].parameters
    assert counts.multiply_adds == 2 * sum(one.multiply_adds for one in each)
    assert counts.space_to_batch == 2 * sum(one.space_to_batch for one in each)
