from typing import Any

import numpy as np
import pytest
import torch

from mnv2_dense.config.detection import Anchors
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.errors import UserError
from mnv2_dense.importing.anchors import check_scales, find_settings
from mnv2_dense.importing.graph import Graph, Node
from mnv2_dense.structures import ImageSize

CELLS = [ImageSize(6, 9), ImageSize(3, 5), ImageSize(2, 3), ImageSize(1, 2)]
SIZES = [ImageSize(300, 300), ImageSize(96, 144), ImageSize(144, 96)]


def table_of(size: ImageSize, **settings: Any) -> tuple[np.ndarray, list[int]]:
    generator = AnchorGenerator(len(CELLS), **settings)
    return generator(CELLS, size, torch.device("cpu")).numpy(), generator.counts


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"min_scale": 0.15, "max_scale": 0.9},
        {"aspect_ratios": (1.0, 2.0, 0.5)},
        {"aspect_ratios": (1.0, 2.5, 0.4), "reduce_lowest_level": False},
        {"aspect_ratios": (1.0, 2.0), "reduce_lowest_level": False},
    ],
)
def test_settings_are_read_of_a_table(size: ImageSize, settings: dict[str, Any]) -> None:
    table, counts = table_of(size, **settings)
    found = find_settings(table, CELLS, counts, size, "here.pb")
    again, _ = table_of(size, **found)
    np.testing.assert_allclose(again, table, atol=1e-6)
    for key, value in settings.items():
        assert found[key] == value
    assert found.keys() == Anchors.model_fields.keys(), "a key left out could be changed unseen"


def test_rounded_tables_are_read() -> None:
    table, counts = table_of(SIZES[0])
    found = find_settings(table.round(5), CELLS, counts, SIZES[0], "here.pb")
    assert found["aspect_ratios"] == (1.0, 2.0, 0.5, 3.0, 0.3333)


@pytest.mark.parametrize("column", range(4))
def test_one_other_anchor_is_named(column: int) -> None:
    table, counts = table_of(SIZES[0])
    table[17, column] += 0.001
    with pytest.raises(UserError, match=r"^here\.pb: its anchors .* anchor 17 is"):
        find_settings(table, CELLS, counts, SIZES[0], "here.pb")


def test_another_number_of_anchors_is_named() -> None:
    table, counts = table_of(SIZES[0])
    with pytest.raises(UserError, match=r"here\.pb: has 299 anchors, but its maps need 300"):
        find_settings(table[:299], CELLS, counts, SIZES[0], "here.pb")


def test_other_counts_per_cell_are_named() -> None:
    table, counts = table_of(SIZES[0])
    moved = [counts[0], counts[1] - 2, counts[2] + 5, counts[3]]
    with pytest.raises(UserError, match=r"per cell, not|anchor"):
        find_settings(table, CELLS, moved, SIZES[0], "here.pb")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 3.0])
def test_sides_that_are_no_sides_end_in_a_message(value: float) -> None:
    table, counts = table_of(SIZES[0])
    table[-20:, 2:] = value
    with (
        pytest.raises(UserError, match=r"here\.pb: its anchors are not"),
        np.errstate(all="ignore"),
    ):
        find_settings(table, CELLS, counts, SIZES[0], "here.pb")


# Generators that need maps

COUNTS = AnchorGenerator(4).counts


def graph_of(*values: float, op: str = "mul") -> Graph:
    constants = {"scales": np.array(values, np.float32)}
    node = Node(op, "widths", ("roots", "scales"), ("widths",), {})
    return Graph("here.pb", [node], constants, {}, ())


@pytest.mark.parametrize(
    "values",
    [(0.1, 0.2, 0.2), (1, 2, 0.5), (1, 2**0.5, 0.5**0.5), (1, 2, 0.5, 3, 1 / 3, 1)],
)
def test_the_releases_scales_and_ratios_are_known(values: tuple[float, ...]) -> None:
    assert check_scales(graph_of(*values), COUNTS) == ["scales"]


@pytest.mark.parametrize("values", [(0.1, 0.15, 0.15), (1, 2, 0.4), (0.9,) * 6])
def test_other_scales_and_ratios_are_named(values: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match=r"^here\.pb: scales .* are no scales or ratios"):
        check_scales(graph_of(*values), COUNTS)


def test_what_no_generator_reads_is_not_its_own() -> None:
    assert check_scales(graph_of(127.5, 127.5, 127.5, op="pad"), COUNTS) == []


def test_other_counts_than_the_releases_are_named() -> None:
    with pytest.raises(UserError, match=r"\[6, 6, 6, 6\] per cell; only the release's \[3, 6"):
        check_scales(graph_of(0.1, 0.2, 0.2), [6] * 4)
