import json
from pathlib import Path

import pytest

from tests.commands.tiny import (
    ASPP_CONFIG,
    COCO_CONFIG,
    CONFIG,
    SEGMENTATION_CONFIG,
    TRAIN_IMAGES,
    run_tool,
)


def test_the_papers_figures() -> None:
    totals = json.loads(run_tool("summary", COCO_CONFIG, "--json").require_success().out)
    assert totals["parameters"] == 4_337_013
    assert totals["multiply_adds"] == 788_830_144
    assert totals["anchors"] == 2034
    taps = [(tap["channels"], tap["stride"]) for tap in totals["taps"]]
    assert taps == [(576, 16), (1280, 32)]


@pytest.mark.parametrize(("size", "anchors"), [((300, 300), 1917), ((320, 320), 2034)])
def test_anchors_follow_the_input(size: tuple[int, int], anchors: int) -> None:
    overrides = [f"input.height={size[0]}", f"input.width={size[1]}"]
    outcome = run_tool("summary", COCO_CONFIG, *overrides, "--json").require_success()
    assert json.loads(outcome.out)["anchors"] == anchors


def test_the_table_adds_up() -> None:
    out = run_tool("summary", COCO_CONFIG).require_success().out
    layers, totals = out.split("\n\n")
    rows = [line.split() for line in layers.splitlines()[1:]]
    assert sum(int(row[-2].replace(",", "")) for row in rows) == 4_337_013
    assert sum(int(row[-1].replace(",", "")) for row in rows) == 788_830_144
    assert "576 channels at stride 16" in totals
    assert "4,337,013" in totals
    assert "2,034" in totals


def test_classes_are_counted_in_the_data(shapes_set: Path) -> None:
    def parameters(*overrides: str) -> int:
        outcome = run_tool("summary", CONFIG, *overrides, "--json").require_success()
        return json.loads(outcome.out)["parameters"]

    assert TRAIN_IMAGES > 0
    assert parameters(f"data.root={shapes_set}") == parameters("data.num_classes=10")


def test_classes_that_cannot_be_counted() -> None:
    outcome = run_tool("summary", CONFIG, "data.root=nowhere")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "give data.num_classes=N" in outcome.err


@pytest.mark.parametrize(
    ("width", "parameters", "multiply_adds"),
    [
        (0.35, 1_677_128, 59_285_808),
        (0.5, 1_968_680, 97_131_840),
        (0.75, 2_636_424, 209_069_792),
        (1.0, 3_504_872, 300_774_272),
        (1.4, 6_108_776, 582_195_824),
    ],
)
def test_the_classifier_of_the_paper(width: float, parameters: int, multiply_adds: int) -> None:
    overrides = [f"backbone.width_mult={width}", "input.height=224", "input.width=224"]
    outcome = run_tool("summary", COCO_CONFIG, "--classifier", "--json", *overrides)
    totals = json.loads(outcome.require_success().out)
    assert totals == {"parameters": parameters, "multiply_adds": multiply_adds}


# Other strides and multiply-adds: tests/builders/test_segmentation.py, which computes none.
@pytest.mark.parametrize(
    ("config", "parameters", "multiply_adds"),
    [
        (SEGMENTATION_CONFIG, 2_113_557, 2_740_709_056),
        (ASPP_CONFIG, 4_523_541, 5_363_508_928),
    ],
    ids=["light", "aspp"],
)
def test_the_papers_segmenters(config: Path, parameters: int, multiply_adds: int) -> None:
    totals = json.loads(run_tool("summary", config, "--json").require_success().out)
    assert totals == {
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "taps": [{"name": "block_16", "channels": 320, "stride": 16}],
    }


def test_classes_of_a_segmenter_need_no_data() -> None:
    small = ["input.height=65", "input.width=65", "data.root=nowhere"]
    cityscapes = ["data.classes=null", "data.num_classes=19"]
    outcome = run_tool("summary", SEGMENTATION_CONFIG, *small, *cityscapes).require_success()
    assert "2,113,043" in outcome.out
    assert "anchors" not in outcome.out
    outcome = run_tool("summary", SEGMENTATION_CONFIG, *small, "data.classes=null")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "give data.num_classes=N" in outcome.err


def test_the_classifier_under_a_segmenter() -> None:
    small = ["input.height=64", "input.width=64"]
    outcome = run_tool("summary", SEGMENTATION_CONFIG, "--classifier", "--json", *small)
    assert json.loads(outcome.require_success().out)["parameters"] == 3_504_872
