import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.errors import UserError
from tools.compare import tables
from tools.compare.runs import Outcome, Run, write_result
from tools.compare.tables import summarize, to_csv, to_markdown

SOURCES = {"weights": None, "torch": "2.12.1"}


def result(seed: int, score: float, **changes: Any) -> dict[str, Any]:
    run = Run("segmentation", "voc", "random", "light", "product", seed, 300, 8, 256)
    scores = {"mIoU": score, "pixel_accuracy": 0.5 + seed / 10}
    outcome = Outcome(scores, 1000, 2000, 1.0 + seed)
    return {**run._asdict(), **outcome._asdict(), "sources": SOURCES, **changes}


RESULTS = [result(2, 0.4), result(0, 0.1), result(1, 0.4), result(0, 0.35, network="smp")]


def test_mean_deviation_and_range_over_the_seeds() -> None:
    light = summarize(RESULTS)[1]
    assert (light.network, light.seeds) == ("light", (0, 1, 2))
    assert light.mean == pytest.approx(0.3)
    assert light.deviation == pytest.approx(0.03**0.5)  # (0.04 + 0.01 + 0.01) / 2
    assert (light.least, light.most) == (0.1, 0.4)
    assert light.second == pytest.approx(0.6)


def test_best_mean_first_and_one_run_has_no_deviation() -> None:
    first = summarize(RESULTS)[0]
    assert (first.network, first.mean, first.deviation) == ("smp", 0.35, None)


def test_a_peer_has_a_row_per_recipe() -> None:
    rows = summarize([result(0, 0.2, recipe=recipe) for recipe in ("reference", "product")])
    assert [row.recipe for row in rows] == ["product", "reference"]


@pytest.mark.parametrize(
    "change",
    [{"data": "shapes"}, {"start": "imagenet"}, {"steps": 9}, {"batch": 9}, {"size": 64}],
)
def test_what_is_not_comparable_stands_in_another_table(change: dict[str, Any]) -> None:
    markdown = to_markdown(summarize([result(0, 0.2), result(0, 0.3, **change)]))
    assert markdown.count("\n| --- |") == 2


def test_the_table_as_markdown() -> None:
    assert to_markdown(summarize(RESULTS)).splitlines()[::2] == [
        "## Segmentation, voc, from random weights: mIoU",
        "300 steps of 8 pictures, input 256x256.",
        "| network | recipe | seeds | mean | standard deviation | least to most | "
        "mean pixel_accuracy | parameters | multiply-adds |",
        "| smp | product | 0 | 0.3500 | - | 0.3500 to 0.3500 | 0.5000 | 1,000 | 2,000 |",
    ]


@pytest.mark.parametrize("network", ["light", "aspp"])
def test_other_sources_are_not_set_side_by_side(network: str) -> None:
    other = result(1, 0.3, network=network, sources={**SOURCES, "torch": "2.13.0"})
    with pytest.raises(UserError, match=r"cannot stand in one table .* 2\.1\d\.\d, not 2\.1"):
        summarize([result(0, 0.2), other])
    assert len(summarize([result(0, 0.2), {**other, "data": "shapes"}])) == 2


def test_a_library_of_one_network_does_not_set_it_apart() -> None:
    smp = result(0, 0.3, network="smp", sources={**SOURCES, "smp": "0.6"})
    assert len(summarize([result(0, 0.2), smp])) == 2
    with pytest.raises(UserError, match=r"smp, product, seed 1 .*: made with smp 0\.7, not 0\.6"):
        summarize([smp, {**smp, "seed": 1, "sources": {"smp": "0.7"}}])


def test_csv_has_every_field() -> None:
    (_, light) = csv.DictReader(to_csv(summarize(RESULTS)).splitlines())
    assert (light["seeds"], light["mean"]) == ("0 1 2", str(summarize(RESULTS)[1].mean))


def test_the_command_reads_finished_runs_and_writes_three_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run("detection", "coco", "imagenet", "ssdlite", "product", 0, 300, 8, 320)
    write_result(run, SOURCES, Outcome({"mAP": 0.25, "AP50": 0.5}, 1, 2, 3.0), tmp_path / "out")
    assert tables.main([str(tmp_path / "out"), "--to", str(tmp_path / "to")]) == 0
    markdown = (tmp_path / "to" / "results.md").read_text()
    assert "| ssdlite | product | 0 | 0.2500 |" in markdown
    assert markdown in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "to" / "results.json").read_text())
    assert (row["mean"], row["seeds"]) == (0.25, [0])
    assert (tmp_path / "to" / "results.csv").exists()


def test_nothing_finished_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main([str(tmp_path), "--to", str(tmp_path / "to")]) == 2
    assert "no run has finished there" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()
