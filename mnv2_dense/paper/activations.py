"""Table 3: the largest map between blocks at each resolution, in 16-bit numbers."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.backbone.mobilenet_v1 import LAYERS, MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2, plan_blocks
from mnv2_dense.backbone.shufflenet_v1 import UNITS, ShuffleNetV1
from mnv2_dense.backbone.staged import name_units
from mnv2_dense.paper.agreement import Verdict
from mnv2_dense.paper.rows import Kind, Row, Table

SIDE = 224
BYTES = 2
TOLERANCE = 0.05
"""Share by which a printed memory may differ: the authors cut 627 kB to 600."""

Maps = dict[int, list[int]]
"""Channels of every map between blocks, by the side of the map; side 1 is the pooled vector."""


class Column(NamedTuple):
    """One network of the table.

    printed: The paper's most channels and kB, by the side of the map.
    maximum: The paper's kB of the largest map of all.
    build: Makes the network with a tap behind every block.
    kind: Whether the column is the paper's, or another reading of it.
    without: Sides whose maps the paper's maximum leaves out.
    """

    model: str
    printed: Mapping[int, tuple[int, int]]
    maximum: int
    build: Callable[[], Backbone]
    kind: Kind = "printed"
    without: tuple[int, ...] = ()


def _mobilenet_v1() -> Backbone:
    return MobileNetV1([f"Conv2d_{index}" for index in range(len(LAYERS))])


def _mobilenet_v2() -> Backbone:
    """Bottlenecks only: expansions need never be whole in memory (paper, section 5)."""
    return MobileNetV2([f"block_{index}" for index in range(len(plan_blocks(1.0, 32)))] + ["last"])


def _shufflenet(groups: int) -> Backbone:
    taps = ["stem", "pool", *name_units(UNITS, first_stage=2)]
    return ShuffleNetV1(taps, width_mult=2.0, groups=groups)


_V1 = {112: (64, 1600), 56: (128, 800), 28: (256, 400), 14: (512, 200), 7: (1024, 199)}
_V2 = {112: (16, 400), 56: (32, 200), 28: (64, 100), 14: (160, 62), 7: (320, 32), 1: (1280, 2)}
_SHUFFLENET = {112: (32, 800), 56: (48, 300), 28: (400, 600), 14: (800, 310), 7: (1600, 156)}
_READINGS: tuple[tuple[int, Kind], ...] = ((3, "printed"), (2, "further"))
COLUMNS = (
    Column("MobileNetV1", {**_V1, 1: (1024, 2)}, 1600, _mobilenet_v1),
    Column("MobileNetV2", _V2, 400, _mobilenet_v2),
    *(
        Column(
            f"ShuffleNet (2x, g = {groups})",
            {**_SHUFFLENET, 1: (1600, 3)},
            600,
            partial(_shufflenet, groups),
            kind,
            without=(112,),
        )
        for groups, kind in _READINGS
    ),
)
G2_NOTE = "the widths of g = 2, though the paper's column says g = 3"
STEM_NOTE = "the published stem has 48 channels at 2x"
INPUT_NOTE = "channels of a stage's output, charged at the resolution of its input"


def table_3() -> Table:
    """Every cell of Table 3, and ShuffleNet's column once more with the groups that fit it."""
    rows = tuple(row for column in COLUMNS for row in _column_rows(column))
    return Table(3, "Most channels / memory in kB (1000 bytes, 16 bit) between blocks", rows)


def _column_rows(column: Column) -> Iterator[Row]:
    with torch.device("meta"):
        maps = run_maps(column.build())
    for side, (channels, memory) in column.printed.items():
        printed = {"channels": str(channels), "kB": str(memory)}
        yield _row(column, f"{side}x{side}", printed, side, maps)
    sides = [side for side in maps if side not in column.without]
    side = max(sides, key=lambda side: kilobytes(max(maps[side]), side))
    left_out = "".join(f" without {side}x{side}" for side in column.without)
    yield _row(column, f"largest{left_out}", {"kB": str(column.maximum)}, side, maps)


def _row(column: Column, setting: str, printed: dict[str, str], side: int, maps: Maps) -> Row:
    channels = max(maps[side])
    counts = {"channels": channels, "kB": kilobytes(channels, side)}
    verdicts = {"kB": compare_memory(int(printed["kB"]), counts["kB"])}
    if "channels" in printed:
        same = channels == int(printed["channels"])
        deviation = channels / int(printed["channels"]) - 1
        verdicts["channels"] = Verdict(same, "", "equal" if same else "differs", deviation)
    differs = not all(verdict.agrees for verdict in verdicts.values())
    note = explain(column, side, printed, maps) if differs else ""
    return Row(column.model, setting, column.kind, printed, counts, verdicts, note)


def explain(column: Column, side: int, printed: Mapping[str, str], maps: Maps) -> str:
    """Why a cell of the paper differs from ours.

    Args:
        column: That of the cell.
        side: Of the map.
        printed: The paper's channels and kB.
        maps: Ours.
    """
    if column.model.startswith("ShuffleNet"):
        return STEM_NOTE if side == 112 else G2_NOTE
    channels = int(printed.get("channels", max(maps[side])))
    if channels not in maps[side] and channels in maps.get(side // 2, ()):
        return INPUT_NOTE
    return f"{channels} channels of {side}x{side} take {kilobytes(channels, side):.1f} kB"


def kilobytes(channels: int, side: int) -> float:
    """Memory of a square map in kB of 1000 bytes."""
    return channels * side * side * BYTES / 1000


def compare_memory(printed: int, ours: float) -> Verdict:
    """Whether our kB, cut to a whole number or within the tolerance, are the paper's."""
    deviation = ours / printed - 1
    if int(ours) == printed:
        return Verdict(True, "", "cut", deviation)
    near = abs(deviation) <= TOLERANCE
    return Verdict(near, "", "near" if near else "differs", deviation)


@torch.no_grad()
def run_maps(backbone: nn.Module) -> Maps:
    """Channels of the maps of a backbone on the meta device, and of the last one pooled."""
    features = backbone.eval()(torch.zeros(1, 3, SIDE, SIDE, device="meta"))
    maps: Maps = {1: [list(features.values())[-1].mean(dim=(2, 3)).shape[1]]}
    for name, feature in features.items():
        if name != "last":  # it is averaged at once, as the paper's table has it
            maps.setdefault(feature.shape[2], []).append(feature.shape[1])
    return maps
