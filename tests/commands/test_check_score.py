import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.commands import check_score
from mnv2_dense.commands.check_score import read_run
from mnv2_dense.config.loader import parse_config, to_yaml
from tests.commands.tiny import Outcome, run_tool

SCORES = (0.40, 0.42, 0.44, 0.41, 0.43)


def make_run(folder: Path, score: float, seed: int, **changes: Any) -> Path:
    """What a finished run leaves behind that is looked at."""
    folder.mkdir(parents=True)
    config = parse_config({"task": "detection", "training": {"seed": seed}, **changes})
    (folder / "config.yaml").write_text(to_yaml(config))
    (folder / "metrics.json").write_text(json.dumps({"mAP": score, "AP50": 0.9}))
    environment = {"packages": {"torch": "2.12.1"}, "processor": "some"}
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


@pytest.fixture
def band(tmp_path: Path) -> Path:
    runs = [make_run(tmp_path / f"run-{seed}", score, seed) for seed, score in enumerate(SCORES)]
    path = tmp_path / "bands" / "band.json"
    outcome = run_tool("check_score", *runs, "--band", path, "--record").require_success()
    assert "mAP 0.3403 to 0.4997 (5 seeds: mean 0.4200, standard deviation 0.0158)" in outcome.out
    assert f"wrote {path}" in outcome.out
    return path


def check(band: Path, *runs: Path) -> Outcome:
    return run_tool("check_score", *runs, "--band", band)


def test_a_run_within_the_band(band: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 0.36, 7, name="my_copy", data={"root": "elsewhere"})
    outcome = check(band, other, tmp_path / "run-2").require_success()
    assert f"{other}: mAP 0.3600, within the band\n" in outcome.out
    assert "mAP 0.4400, within the band (seed 2 gave 0.4400 when it was recorded)" in outcome.out


@pytest.mark.parametrize(
    ("score", "code", "words"), [(0.33, 1, "BELOW the band"), (0.51, 0, "above the band: better")]
)
def test_a_run_outside_of_it(
    band: Path, tmp_path: Path, score: float, code: int, words: str
) -> None:
    outcome = check(band, make_run(tmp_path / "other", score, 7), tmp_path / "run-0")
    assert outcome.code == code
    assert words in outcome.out
    assert "run-0: mAP 0.4000, within" in outcome.out


def test_a_band_that_comes_with_its_config(
    band: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run-0"
    outcome = run_tool("check_score", run)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "no band of scores comes with the recipe ssdlite; name a file by --band" in outcome.err

    def find(recipe: str) -> Path:
        return band.parent / f"{recipe}.json"

    monkeypatch.setattr(check_score, "shipped_band", find)
    band.rename(find("ssdlite"))
    assert "within the band" in run_tool("check_score", run).require_success().out


def test_a_band_is_recorded_into_a_named_file(tmp_path: Path) -> None:
    outcome = run_tool("check_score", tmp_path, "--record")
    assert outcome.code == 2
    assert "--record: name the file to write by --band" in outcome.err


def test_a_run_of_another_recipe(band: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 0.42, 7, training={"seed": 7, "ema_decay": 0.99})
    outcome = check(band, other)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "is not of the recipe of" in outcome.err
    assert "training.ema_decay: None -> 0.99" in outcome.err


@pytest.mark.parametrize("missing", ["config.yaml", "metrics.json", "environment.json"])
def test_what_is_no_finished_run(band: Path, tmp_path: Path, missing: str) -> None:
    run = tmp_path / "run-0"
    (run / missing).unlink()
    outcome = check(band, run)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"{run}: has no {missing}; give the folder of a run" in outcome.err


def test_a_damaged_score(band: Path, tmp_path: Path) -> None:
    (tmp_path / "run-0" / "metrics.json").write_text("{")
    outcome = check(band, tmp_path / "run-0")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "metrics.json: damaged" in outcome.err


@pytest.mark.parametrize("score", ["null", '"abc"', "[1]", "NaN", "7.0", "-1", "true"])
def test_what_is_no_score(band: Path, tmp_path: Path, score: str) -> None:
    (tmp_path / "run-0" / "metrics.json").write_text(f'{{"mAP": {score}}}')
    for more in ((), ("--record",)):
        outcome = run_tool("check_score", tmp_path / "run-0", "--band", band, *more)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "run-0: its mAP or its environment is damaged: " in outcome.err


def test_scores_of_another_evaluation(band: Path, tmp_path: Path) -> None:
    (tmp_path / "run-0" / "evaluation.yaml").touch()
    outcome = check(band, tmp_path / "run-0")
    assert outcome.code == 2
    assert "run-0: evaluate --out wrote its metrics.json; give a run's folder as" in outcome.err


@pytest.mark.parametrize("words", [["--weights", "best.ckpt"], ["--weights=best.ckpt"]])
def test_a_run_that_began_with_trained_weights(
    band: Path, tmp_path: Path, words: list[str]
) -> None:
    environment: dict[str, Any] = {"packages": {}, "command": ["train.py", "my.yaml", *words]}
    (tmp_path / "run-0" / "environment.json").write_text(json.dumps(environment))
    outcome = check(band, tmp_path / "run-0")
    assert outcome.code == 2
    assert "run-0: began with --weights" in outcome.err


def test_a_key_that_is_newer_than_the_band(band: Path, tmp_path: Path) -> None:
    content = json.loads(band.read_text())
    assert content["settings"].pop("schedule.warmup_steps") == 500
    band.write_text(json.dumps(content))
    check(band, tmp_path / "run-0").require_success()
    other = make_run(tmp_path / "other", 0.42, 7, schedule={"warmup_steps": 9})
    assert "schedule.warmup_steps: 500 -> 9" in check(band, other).err


def test_several_runs_show_what_one_does_not(band: Path, tmp_path: Path) -> None:
    """0.36 is within the band of a run, from 0.3403, and below that of two, 0.42 - 0.0609."""
    runs = [make_run(tmp_path / f"new-{seed}", 0.355, seed) for seed in (7, 8)]
    check(band, runs[0]).require_success()
    outcome = check(band, *runs)
    assert outcome.code == 1
    assert "mean of 2 runs: mAP 0.3550, BELOW the band of such means, from 0.3591" in outcome.out


def test_other_data_are_told(band: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(band.read_text())
    band.write_text(json.dumps({**content, "data": {"train": "one"}}))
    monkeypatch.setattr(check_score, "_data_of", lambda _: {"train": "two"})  # pyrefly: ignore
    outcome = check(band, tmp_path / "run-0").require_success()
    assert "run-0: its data are not those of the band, or were drawn by other" in outcome.out


def test_a_trained_run_can_be_compared(trained_run: Path) -> None:
    """What a true run writes is what is read."""
    found = read_run(trained_run)
    assert found.score == "mAP"
    assert list(found.scores.values()) == [
        json.loads((trained_run / "metrics.json").read_text())["mAP"]
    ]
    assert found.settings["optimizer.name"]
    assert found.data.keys() == {"train", "val"}
    assert "training.seed" not in found.settings
