import pytest
import torch
from torch import nn

from mnv2_dense.backbone.staged import StagedBackbone, name_units
from mnv2_dense.structures import FeatureSpec


class Toy(StagedBackbone):
    """Convolutions with one weight: the stem doubles its input, the pool triples it, ..."""

    def __init__(self, *taps: str) -> None:
        names = ["stem", "pool", *name_units((2, 1), first_stage=1)]
        super().__init__([FeatureSpec(name, 1, 1) for name in names], taps, "toy")
        self.stem, self.pool = scale(2), scale(3)
        self.blocks = nn.ModuleList(scale(factor) for factor in (5, 7, 11)[: self.num_blocks])


def scale(factor: float) -> nn.Conv2d:
    layer = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(layer.weight, factor)
    return layer


def test_units_are_numbered_within_their_stage() -> None:
    names = list(name_units((2, 1), first_stage=3))
    assert names == ["stage_3_unit_1", "stage_3_unit_2", "stage_4_unit_1"]


def test_taps_come_in_the_order_asked_for() -> None:
    backbone = Toy("stage_2_unit_1", "stem", "stage_1_unit_1", "pool")
    maps = backbone(torch.ones(1, 1, 1, 1))
    assert {name: maps[name].item() for name in maps} == {
        "stage_2_unit_1": 2310.0,
        "stem": 2.0,
        "stage_1_unit_1": 30.0,
        "pool": 6.0,
    }
    assert list(maps) == [spec.name for spec in backbone.specs]


@pytest.mark.parametrize(
    ("tap", "blocks"),
    [("stem", 0), ("pool", 0), ("stage_1_unit_1", 1), ("stage_1_unit_2", 2), ("stage_2_unit_1", 3)],
)
def test_no_block_behind_the_deepest_tap(tap: str, blocks: int) -> None:
    assert len(Toy("stem", tap).blocks) == blocks


def test_the_pool_does_not_run_for_the_stem() -> None:
    backbone = Toy("stem")
    backbone.pool = nn.MaxPool2d(5)  # larger than the map
    assert list(backbone(torch.ones(1, 1, 1, 1))) == ["stem"]


def test_taps_that_do_not_exist_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown taps \['last'\]; toy has stem, pool, stage_1_"):
        Toy("last")
    with pytest.raises(ValueError, match="at least one tap"):
        Toy()
