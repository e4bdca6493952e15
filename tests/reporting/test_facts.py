from pathlib import Path
from typing import Any

from mnv2_dense.config.loader import load_config
from mnv2_dense.reporting.clock import Session
from mnv2_dense.reporting.facts import draw_config, draw_environment, draw_timing, find_changes
from mnv2_dense.reporting.log import Log, Series
from mnv2_dense.reporting.run_folder import Run
from tests.commands.tiny import CONFIG
from tests.reporting.scenes import SCRIPT, show


def run_of(**changes: Any) -> Run:
    plain = Run(Path("runs/a/b"), load_config(CONFIG), [], Log({}, []), [])
    return plain._replace(**changes)


def rows(texts: list[str], first: str) -> dict[str, str]:
    """Names and values from a row on."""
    kept = texts[texts.index(first) :]
    return dict(zip(kept[::2], kept[1::2], strict=False))


def test_time_is_that_of_all_sessions() -> None:
    log = Log(
        {
            "train/images_per_second": Series([0, 1, 2], [10.0, 30.0, 14.0]),
            "train/data_wait": Series([0, 1, 2], [0.1, 0.2, 0.6]),
        },
        [],
    )
    sessions = [Session(1e9, 1e9 + 60), Session(1e9 + 100, 1e9 + 165)]
    texts = show(draw_timing(run_of(log=log, sessions=sessions))).texts
    start = texts.index("first step logged")
    assert texts[start : start + 10] == [
        *("first step logged", "2001-09-09 01:46:40 UTC"),
        *("time of training", "2:05 in 2 sessions, 0:40 between them"),
        *("steps", "3"),
        *("images per second, median", "14.0 (10.0 to 30.0)"),
        *("time waiting for data, median", "20.0% (10.0% to 60.0%)"),
    ]


def test_time_that_was_not_recorded() -> None:
    texts = show(draw_timing(run_of())).texts
    assert texts.count("not recorded") == 2
    assert "steps" not in texts


def test_the_environment_of_the_last_session_and_what_changed() -> None:
    first = {"cpu_count": 2, "threads": 2, "python": "3.11", "packages": {"torch": "2.11"}}
    last = {**first, "threads": 4, "gpus": ["H100"], "packages": {"torch": "2.12", "timm": None}}
    last |= {"command": ["train.py", SCRIPT, "x" * 900], "commit": "abc"}
    drawn = show(draw_environment(run_of(environments=[first, last])))
    found = rows(drawn.texts, "seed")
    assert found["seed"] == "0"
    assert found["threads of PyTorch"] == "4 (before: 2)"
    assert found["cores"] == "2"
    assert found["GPUs"] == "H100 (before: none)"
    assert found["packages"] == "torch 2.12 (before: torch 2.11)"
    assert found["processor"] == "not recorded"
    assert found["command"] == f"train.py {SCRIPT} {'x' * 900} (before: not recorded)"


def test_a_damaged_environment_is_not_recorded() -> None:
    texts = show(draw_environment(run_of(environments=[{"gpus": 3, "packages": [1]}]))).texts
    assert rows(texts, "seed")["packages"] == "not recorded"
    assert rows(show(draw_environment(run_of())).texts, "seed")["machine"] == "not recorded"


def test_what_differs_from_the_defaults_stands_first() -> None:
    config = load_config(CONFIG, ["data.root=sets/<b>", "training.seed=7"])
    changes = {key: (value, default) for key, value, default in find_changes(config)}
    assert changes["training.seed"] == (7, 0)
    assert changes["data.root"] == ("sets/<b>", "data/coco")
    assert changes["head.extra_channels"] == ([128, 64], [512, 256, 256, 128])
    assert "training.deterministic" not in changes
    texts = show(draw_config(config)).texts
    assert f"{len(changes)} keys differ from the defaults" in texts
    assert texts[texts.index("training.seed") + 1 : texts.index("training.seed") + 3] == ["7", "0"]
    assert "sets/<b>" in texts
    assert "\ntraining:\n" in texts[-1]
    assert not list(find_changes(type(config)()))
