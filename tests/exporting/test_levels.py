import pytest
import torch

from mnv2_dense.exporting.levels import Levels
from tests.exporting.small_networks import CLASSES, detector, segmenter

SLOTS = CLASSES + 1


@pytest.mark.parametrize("size", [(32, 48), (33, 17), (4, 4)])
def test_the_maps_are_what_the_detector_puts_in_the_order_of_its_anchors(
    size: tuple[int, int],
) -> None:
    network = detector(extra_channels=(24, 16)).network
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        maps, expected = Levels(network)(images), network(images)
    levels = len(maps) // 2
    for group, slots, flat in (
        (maps[:levels], SLOTS, expected.class_logits),
        (maps[levels:], 4, expected.box_deltas),
    ):
        ordered = [each.movedim(1, -1).reshape(2, -1, slots) for each in group]
        assert torch.equal(torch.cat(ordered, dim=1), flat)


def test_every_class_map_comes_before_the_first_box_map_finest_first() -> None:
    network = detector(extra_channels=(24, 16)).network
    maps = Levels(network)(torch.zeros(1, 3, 32, 48))
    anchors, cells = (3, 6, 6, 6), ((8, 12), (4, 6), (2, 3), (1, 2))
    expected = [
        (1, count * slots, *size)
        for slots in (SLOTS, 4)
        for count, size in zip(anchors, cells, strict=True)
    ]
    assert [tuple(each.shape) for each in maps] == expected


def test_the_networks_own_layers_are_used() -> None:
    network = detector().network
    assert {id(each) for each in Levels(network).parameters()} == {
        id(each) for each in network.parameters()
    }


def test_a_segmenter_has_no_levels() -> None:
    with pytest.raises(AssertionError):
        Levels(segmenter().network)
