import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from mnv2_dense.commands import fit_anchors
from mnv2_dense.commands.fit_anchors import Levels, measure, to_section
from mnv2_dense.detection.anchors import AnchorSettings
from mnv2_dense.detection.fitting import NetworkBoxes
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import (
    COCO_CONFIG,
    CONFIG,
    SEGMENTATION_CONFIG,
    Outcome,
    read_json,
    run_tool,
    tiny_overrides,
)


def fit(data: Path, *arguments: object) -> Outcome:
    return run_tool("fit_anchors", CONFIG, *tiny_overrides(data, data.parent / "no"), *arguments)


@pytest.fixture(scope="module")
def fitted(shapes_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Any]:
    report = tmp_path_factory.mktemp("fit") / "report.json"
    return fit(shapes_set, "--json", report).require_success(), read_json(report)


def proposal_in(text: str) -> str:
    return text[text.index("anchors:\n") :].partition("\nwrote")[0]


def test_the_proposal_matches_more_and_is_said_in_both_forms(fitted: tuple[Outcome, Any]) -> None:
    outcome, report = fitted
    train = report["boxes"]["train"]
    before, after = (
        (train[when]["matched_share"]["0.4"], train[when]["mean_best_iou"])
        for when in ("before", "after")
    )
    assert after > before
    assert yaml.safe_load(proposal_in(outcome.out)) == report["proposal"]
    assert list(report["boxes"]) == ["train", "val"]
    assert f"train: {train['before']['boxes']} boxes at an input of 64x64" in outcome.out
    assert f"{train['after']['matched_share']['0.4']:.4f}" in outcome.out


def test_the_pasted_proposal_is_the_next_runs_before(
    fitted: tuple[Outcome, Any], shapes_set: Path, tmp_path: Path
) -> None:
    section = proposal_in(fitted[0].out)
    text = re.sub(r"(?ms)^anchors:\n.*?(?=^\S)", section + "\n\n", CONFIG.read_text())
    assert section in text
    config = tmp_path / "pasted.yaml"
    config.write_text(text)
    overrides = tiny_overrides(shapes_set, tmp_path / "runs")
    report = tmp_path / "again.json"
    run_tool("fit_anchors", config, *overrides, "--json", report).require_success()
    before = read_json(report)["boxes"]["train"]["before"]
    assert before == fitted[1]["boxes"]["train"]["after"]


def test_anchors_that_cannot_be_bettered_are_kept(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(_boxes: Tensor, current: AnchorSettings, *_: object, **__: object) -> AnchorSettings:
        return current

    monkeypatch.setattr(fit_anchors, "fit_anchors", keep)
    report = tmp_path / "report.json"
    outcome = fit(shapes_set, "--json", report).require_success()
    assert "No better anchors were found: keep the config's." in outcome.out
    assert "anchors:" not in outcome.out
    assert read_json(report)["proposal"] is None
    assert list(read_json(report)["boxes"]["val"]) == ["before"]


def test_another_number_of_ratios(shapes_set: Path) -> None:
    two = ["anchors.aspect_ratios=[1.0]", "--ratios", "2"]
    outcome = fit(shapes_set, *two).require_success()
    assert len(yaml.safe_load(proposal_in(outcome.out))["anchors"]["aspect_ratios"]) == 2
    assert fit(shapes_set, "--ratios", "0").code == 2


def test_a_large_set_is_sampled_by_the_seed(
    shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_anchors, "MAX_BOXES", 10)
    first = fit(shapes_set).require_success().out
    assert re.search(r"^train: 10 of \d+ boxes drawn by training\.seed=0$", first, re.MULTILINE)
    assert "train: 10 boxes at" in first
    assert fit(shapes_set).out == first
    assert fit(shapes_set, "training.seed=1").out != first


def test_measures_by_hand() -> None:
    """One anchor fills each quarter of the finer level's picture, one the whole picture."""
    settings = AnchorSettings((0.5, 1.0), (), reduce_lowest_level=False, lowest_scale=0.1)
    levels = Levels([ImageSize(2, 2), ImageSize(1, 1)], ImageSize(64, 64))
    settings = settings._replace(aspect_ratios=(1.0,))
    shares = torch.tensor([[0, 0, 0.5, 0.5], [0, 0, 1, 1], [0.0, 0.0, 0.5, 0.25]])
    boxes = NetworkBoxes(shares, torch.tensor([1000.0, 96**2, 40**2]), left=0)
    found = measure(boxes, settings, levels, [0.5, 0.6])
    assert found["boxes"] == 3
    assert found["matched_share"] == {"0.5": 1.0, "0.6": pytest.approx(2 / 3)}
    assert found["mean_best_iou"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert [each["boxes"] for each in found["sizes"].values()] == [1, 1, 1]
    assert found["sizes"]["medium"]["mean_best_iou"] == pytest.approx(0.5)
    assert [each["share"] for each in found["levels"]] == [
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
    ]
    nothing = measure(NetworkBoxes(shares[:0], shares[:0, 0], 0), settings, levels, [0.5])
    assert nothing["mean_best_iou"] is None
    json.dumps(nothing, allow_nan=False)


def test_the_section_says_everything_that_is_fitted() -> None:
    settings = AnchorSettings((0.05, 0.5), (1.0, 2.0), reduce_lowest_level=True, lowest_scale=0.02)
    assert yaml.safe_load(to_section(settings)) == {
        "anchors": {
            "scales": [0.05, 0.5],
            "aspect_ratios": [1.0, 2.0],
            "reduce_lowest_level": True,
            "lowest_scale": 0.02,
        }
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([SEGMENTATION_CONFIG], "task is segmentation, which has no anchors"),
        ([CONFIG, "anchors.scales=[0.1, 0.2]"], "anchors.scales: 2 scales for 4 levels"),
        ([COCO_CONFIG, "data.root=nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_a_line(arguments: list[object], words: str) -> None:
    outcome = run_tool("fit_anchors", *arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_set_without_boxes_is_a_line(shapes_set: Path, tmp_path: Path) -> None:
    content = read_json(shapes_set / "annotations" / "instances_train2017.json")
    crowd = {**content["annotations"][0], "iscrowd": 1}
    (tmp_path / "empty.json").write_text(json.dumps({**content, "annotations": [crowd]}))
    outcome = fit(shapes_set, f"data.train_annotations={tmp_path / 'empty.json'}")
    assert outcome.code == 2
    assert "no box to train on" in outcome.err


def test_a_level_of_stride_8_finds_more_small_objects_of_coco(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_anchors, "MAX_BOXES", 300)
    shares = []
    for taps in ("null", "[block_6_expansion, block_13_expansion, last]"):
        report = tmp_path / "report.json"
        arguments = [f"data.root={shared / 'data' / 'coco'}", f"head.taps={taps}"]
        run_tool("fit_anchors", COCO_CONFIG, *arguments, "--json", report).require_success()
        val = read_json(report)["boxes"]["val"]
        shares.append([val[when]["matched_share"]["0.5"] for when in ("before", "after")])
    assert shares[0][0] < shares[0][1] < shares[1][1]
