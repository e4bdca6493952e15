import torch
from torch import nn

from mnv2_dense.paper.measure import Counts, measure, measure_scales
from mnv2_dense.structures import ImageSize


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=2, dilation=2, bias=False), nn.BatchNorm2d(4)),
        nn.Conv2d(4, 5, 1),
    )


def test_every_count_by_hand() -> None:
    positions, atrous = 7 * 5, 8 * 6
    assert measure(network(), ImageSize(7, 5)) == Counts(
        parameters=108 + 8 + 25,
        weights=108 + 20,
        running_statistics=8,
        state_dict=108 + 8 + 8 + 1 + 25,
        multiply_adds=(108 + 20) * positions,
        space_to_batch=108 * atrous + 20 * positions,
    )


def test_folding_leaves_one_bias_per_normed_channel() -> None:
    assert measure(network(), ImageSize(7, 5)).folded == 108 + 4 + 25


def test_a_part_is_counted_by_itself() -> None:
    whole, first = network(), ImageSize(7, 5)
    parts = [measure(whole, first, name) for name in ("0", "1")]
    assert [part.parameters for part in parts] == [116, 25]
    assert sum(part.multiply_adds for part in parts) == measure(whole, first).multiply_adds
    assert parts[0].state_dict == 108 + 8 + 8 + 1


def test_scales_come_smallest_first() -> None:
    with torch.device("meta"):
        counts = measure_scales(network(), (9, 3))
    assert [each.multiply_adds for each in counts] == [128 * 9, 128 * 81]
