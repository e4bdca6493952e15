import json
from pathlib import Path

import pytest

from mnv2_dense.commands.score_band import Band, join_runs, list_changes, read_band, write_band
from mnv2_dense.errors import UserError

SCORES = {0: 0.40, 1: 0.42, 2: 0.44, 3: 0.41, 4: 0.43}


def band(scores: dict[int, float], **settings: object) -> Band:
    made_with = {"torch": "2.12.1", "processor": "some"}
    data = {"train": "digest"}
    return Band("recipe", "mAP", scores, settings or {"optimizer.name": "sgd"}, made_with, data)


def test_the_limits_are_students() -> None:
    """t of 4 degrees at 0.995 is 4.6041 (any table); s = 0.0158114; sqrt(1.2) = 1.0954451."""
    found = band(SCORES)
    assert found.mean == pytest.approx(0.42, abs=1e-12)
    assert found.deviation == pytest.approx(0.0158114, abs=1e-7)
    assert found.limits() == pytest.approx((0.42 - 0.0797470, 0.42 + 0.0797470), abs=1e-5)


def test_few_runs_make_a_wide_band() -> None:
    """t of 2 degrees is 9.9248; the same deviation."""
    low, high = band({0: 0.42 - 0.0158114, 1: 0.42, 2: 0.42 + 0.0158114}).limits()
    assert (high - low) / 2 == pytest.approx(9.9248 * 0.0158114 * (4 / 3) ** 0.5, abs=1e-5)


def test_the_mean_of_many_runs_has_a_narrow_band() -> None:
    low, high = band(SCORES).limits(4)
    assert (high - low) / 2 == pytest.approx(4.6041 * 0.0158114 * (1 / 4 + 1 / 5) ** 0.5, abs=1e-5)


def test_equal_scores_make_no_band_of_no_width() -> None:
    low, high = band({0: 0.4, 1: 0.4, 2: 0.4}).limits()
    assert high - low == pytest.approx(2 * 9.9248 * 0.001 * (4 / 3) ** 0.5, abs=1e-6)


@pytest.mark.parametrize("score", ["NaN", "7", "null", "true", "[0.5]", '"0.5"'])
def test_a_band_of_what_is_no_score(tmp_path: Path, score: str) -> None:
    path = tmp_path / "band.json"
    write_band(path, band(SCORES))
    path.write_text(path.read_text().replace("0.44,", f"{score},").replace("0.44\n", f"{score}\n"))
    with pytest.raises(UserError, match=r"band\.json: is no band of scores"):
        read_band(path)


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "band.json"
    write_band(path, band(SCORES))
    assert read_band(path) == band(SCORES)
    summary = json.loads(path.read_text())["summary"]
    assert summary == {"mean": 0.42, "deviation": 0.01581, "low": 0.34025, "high": 0.49975}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"scores": 3}', '{"scores": {"a": 1}}', "[" * 100_000, "\x00"]
)
def test_what_is_no_band(tmp_path: Path, text: str) -> None:
    path = tmp_path / "band.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"band\.json: is no band of scores"):
        read_band(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: cannot be read: No such file"):
        read_band(tmp_path / "none.json")


def test_a_band_of_too_few(tmp_path: Path) -> None:
    path = tmp_path / "band.json"
    write_band(path, band({0: 0.4, 1: 0.5}))
    with pytest.raises(UserError, match="has 2 runs; a band needs 3 at least"):
        read_band(path)


def test_joined() -> None:
    runs = [band({seed: SCORES[seed]}) for seed in (2, 0, 1)]
    assert list(join_runs(runs).scores.items()) == [(0, 0.40), (1, 0.42), (2, 0.44)]


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([band({0: 0.1}), band({1: 0.1})], "2 runs given"),
        ([band({0: 0.1}), band({0: 0.2}), band({1: 0.1})], "the same seed"),
        (
            [band({0: 0.1}), band({1: 0.2}, a=3)],
            "several recipes: a: None -> 3; optimizer.name: sgd",
        ),
    ],
)
def test_runs_that_make_no_band(runs: list[Band], words: str) -> None:
    with pytest.raises(UserError, match=words):
        join_runs(runs)


def test_changes() -> None:
    assert list_changes({"a": 1, "b": 2}, {"b": 3, "c": [4]}) == [
        "a: 1 -> None",
        "b: 2 -> 3",
        "c: None -> [4]",
    ]
