import json
import re
from itertools import zip_longest
from pathlib import Path

import pytest
import torch

from tests.commands.classifiers import classifier_checkpoint
from tests.commands.tiny import (
    ASPP_CONFIG,
    COCO_CONFIG,
    CONFIG,
    SEGMENTATION_CONFIG,
    TRAIN_IMAGES,
    checkpoint,
    run_tool,
)


def test_the_papers_figures() -> None:
    totals = json.loads(run_tool("summary", COCO_CONFIG, "--json").require_success().out)
    assert totals["parameters"] == 4_337_013
    assert totals["multiply_adds"] == 788_830_144
    assert totals["anchors"] == 2034
    taps = [(tap["channels"], tap["stride"]) for tap in totals["taps"]]
    assert taps == [(576, 16), (1280, 32)]


def test_a_checkpoint_is_opened(trained_run: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    totals = json.loads(run_tool("summary", last, "--json").require_success().out)
    stored = checkpoint(trained_run)["state_dict"]
    names = [name for name in stored if name.endswith((".weight", ".bias"))]
    assert totals["parameters"] == sum(stored[name].numel() for name in names)
    torch.save(classifier_checkpoint(), tmp_path / "c.ckpt")
    outcome = run_tool("summary", tmp_path / "c.ckpt")
    assert outcome.code == 2
    assert "c.ckpt: a classifier, which has no task" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(("size", "anchors"), [((300, 300), 1917), ((320, 320), 2034)])
def test_anchors_follow_the_input(size: tuple[int, int], anchors: int) -> None:
    overrides = [f"input.height={size[0]}", f"input.width={size[1]}"]
    outcome = run_tool("summary", COCO_CONFIG, *overrides, "--json").require_success()
    assert json.loads(outcome.out)["anchors"] == anchors


def read_table(text: str) -> list[dict[str, str]]:
    """The rows by column; every column is two spaces from the next."""
    header, *rows = [re.split(" {2,}", line) for line in text.splitlines()]
    return [dict(zip_longest(header, row, fillvalue="")) for row in rows]


def number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.fixture(scope="module")
def coco_text() -> str:
    return run_tool("summary", COCO_CONFIG).require_success().out


def test_the_table_adds_up(coco_text: str) -> None:
    layers, totals = coco_text.split("\n\n")
    rows = read_table(layers)
    assert sum(number(row["parameters"]) for row in rows) == 4_337_013
    assert sum(number(row["mult-adds"]) for row in rows) == 788_830_144
    assert "576 channels at stride 16" in totals
    assert "4,337,013" in totals
    assert "2,034" in totals
    assert "space_to_batch" not in totals


def test_a_row_by_hand_and_the_rows_of_the_taps(coco_text: str) -> None:
    rows = read_table(coco_text.split("\n\n")[0])
    assert rows[0] == {
        "layer": "backbone.stem.0",
        "kind": "Conv2d",
        "output": "1x32x160x160",
        "parameters": "864",
        "mult-adds": f"{864 * 160 * 160:,}",
        "tap": "",
    }
    assert {row["tap"]: row["output"] for row in rows if row["tap"]} == {
        "block_13_expansion": "1x576x20x20",
        "last": "1x1280x10x10",
    }


def test_columns_stand_below_one_another(coco_text: str) -> None:
    header, *lines = coco_text.split("\n\n")[0].splitlines()
    end, tap = header.index("mult-adds") + len("mult-adds"), header.index("tap")
    assert {line[end : end + 2].strip() for line in lines} == {""}
    assert all(line[end - 1].isdigit() for line in lines)
    assert {line[tap:] for line in lines} == {"", "block_13_expansion", "last"}
    assert not any(line.endswith(" ") for line in lines)


def test_a_network_with_atrous_layers_has_another_total() -> None:
    out = run_tool("summary", ASPP_CONFIG).require_success().out
    found = re.search(r"^space_to_batch +([\d,]+)  .*TensorFlow", out, re.MULTILINE)
    assert found is not None
    assert found[1] == "5,823,096,448"
    assert re.search(r"^multiply_adds +5,363,508,928$", out, re.MULTILINE)


def test_classes_are_counted_in_the_data(shapes_set: Path) -> None:
    def parameters(*overrides: str) -> int:
        outcome = run_tool("summary", CONFIG, *overrides, "--json").require_success()
        return json.loads(outcome.out)["parameters"]

    assert TRAIN_IMAGES > 0
    assert parameters(f"data.root={shapes_set}") == parameters("data.num_classes=10")


def test_classes_that_cannot_be_counted() -> None:
    outcome = run_tool("summary", CONFIG, "data.root=nowhere", "data.generate=null")
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
    assert totals == {
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "space_to_batch": multiply_adds,
    }


MNV1 = ["backbone.name=mobilenet_v1", "backbone.weights=null"]
BLOCK_16 = {"name": "block_16", "channels": 320, "stride": 16}
CONV2D_13 = {"name": "Conv2d_13", "channels": 1024, "stride": 16}


# Other strides and multiply-adds: tests/builders/test_segmentation.py.
@pytest.mark.parametrize(
    ("config", "overrides", "counts", "tap"),
    [
        (SEGMENTATION_CONFIG, [], (2_113_557, 2_740_709_056, 2_742_445_696), BLOCK_16),
        (ASPP_CONFIG, [], (4_523_541, 5_363_508_928, 5_823_096_448), BLOCK_16),
        (ASPP_CONFIG, MNV1, (11_145_301, 12_760_886_976, 14_226_627_264), CONV2D_13),
    ],
    ids=["light", "aspp", "mobilenet_v1"],
)
def test_the_papers_segmenters(
    config: Path, overrides: list[str], counts: tuple[int, int, int], tap: dict[str, str | int]
) -> None:
    outcome = run_tool("summary", config, *overrides, "--json").require_success()
    totals = json.loads(outcome.out)
    keys = ("parameters", "multiply_adds", "space_to_batch")
    assert totals == {**dict(zip(keys, counts, strict=True)), "taps": [tap]}


def test_the_same_detector_on_mobilenet_v1() -> None:
    outcome = run_tool("summary", COCO_CONFIG, *MNV1, "--json").require_success()
    totals = json.loads(outcome.out)
    assert (totals["parameters"], totals["multiply_adds"]) == (5_100_661, 1_309_162_944)
    assert [tap["name"] for tap in totals["taps"]] == ["Conv2d_11", "Conv2d_13"]


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
