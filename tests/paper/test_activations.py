import pytest
import torch

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.paper.activations import compare_memory, kilobytes, run_maps, table_3

# Reference: channels and kB of every cell, and whether the paper's printed cell is this.
EXPECTED = {
    "MobileNetV1": [
        *((64, 1605.6, True), (128, 802.8, True), (256, 401.4, True), (512, 200.7, True)),
        *((1024, 100.4, False), (1024, 2.0, True), (64, 1605.6, True)),
    ],
    "MobileNetV2": [
        *((16, 401.4, True), (24, 150.5, False), (32, 50.2, False), (96, 37.6, False)),
        *((320, 31.4, True), (1280, 2.6, True), (16, 401.4, True)),
    ],
    "ShuffleNet (2x, g = 3)": [
        *((48, 1204.2, False), (48, 301.1, True), (480, 752.6, False), (960, 376.3, False)),
        *((1920, 188.2, False), (1920, 3.8, False), (480, 752.6, False)),
    ],
    "ShuffleNet (2x, g = 2)": [
        *((48, 1204.2, False), (48, 301.1, True), (400, 627.2, True), (800, 313.6, True)),
        *((1600, 156.8, True), (1600, 3.2, True), (400, 627.2, True)),
    ],
}


@pytest.mark.parametrize("model", EXPECTED)
def test_every_cell_has_the_references_figures_and_verdict(model: str) -> None:
    rows = [row for row in table_3().rows if row.model == model]
    found = [
        (
            row.counts["channels"],
            round(row.counts["kB"], 1),
            all(verdict.agrees for verdict in row.verdicts.values()),
        )
        for row in rows
    ]
    assert found == EXPECTED[model]
    settings = [f"{side}x{side}" for side in (112, 56, 28, 14, 7, 1)]
    largest = "largest without 112x112" if "ShuffleNet" in model else "largest"
    assert [row.setting for row in rows] == [*settings, largest]


def test_known_discrepancies_are_named() -> None:
    notes = {(row.model, row.setting): row.note for row in table_3().rows}
    for side in (56, 28, 14):
        assert "resolution of its input" in notes["MobileNetV2", f"{side}x{side}"]
    assert "1024 channels of 7x7 take 100.4 kB" in notes["MobileNetV1", "7x7"]
    assert "g = 2" in notes["ShuffleNet (2x, g = 3)", "28x28"]
    assert "48 channels" in notes["ShuffleNet (2x, g = 3)", "112x112"]
    assert notes["MobileNetV1", "112x112"] == ""


def test_memory_is_decimal_kilobytes_of_two_byte_numbers() -> None:
    assert kilobytes(16, 112) == 16 * 112 * 112 * 2 / 1000


@pytest.mark.parametrize(
    ("printed", "ours", "agrees"),
    [(2, 2.9, True), (2, 3.0, False), (600, 629.0, True), (600, 631.0, False), (32, 30.5, True)],
)
def test_printed_memory_may_be_cut_or_five_per_cent_off(
    printed: int, ours: float, agrees: bool
) -> None:
    assert compare_memory(printed, ours).agrees is agrees


def test_maps_are_those_of_a_real_run() -> None:
    taps = ("block_0", "block_2", "block_16", "last")
    with torch.device("meta"):
        maps = run_maps(MobileNetV2(taps))
    features = MobileNetV2(taps).eval()(torch.zeros(1, 3, 224, 224))
    shapes = {name: tuple(feature.shape[1:3]) for name, feature in features.items()}
    assert maps == {112: [16], 56: [24], 7: [320], 1: [shapes["last"][0]]}
    assert shapes["block_2"] == (24, 56)
