"""The band of scores that runs of one recipe reach with several seeds."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import t

from mnv2_dense.errors import UserError
from mnv2_dense.small_files import read_start
from mnv2_dense.training.runs import write_json

LEAST_DEVIATION = 0.001
"""Another processor's rounding moves a score by some thousandths, whatever a few runs say."""
CONFIDENCE = 0.99
"""Share of further runs of the recipe that the band holds, if its scores are normal."""
FEWEST = 3
"""Runs below which a spread says nothing."""
MAX_FILE_BYTES = 200_000


class Band(NamedTuple):
    """What runs of a recipe reached.

    Attributes:
        recipe: The config's name.
        score: The metric, `mAP` or `mIoU`.
        scores: Of every run, by its seed.
        settings: Every key of the config, `section.key`, that decides about the score.
        made_with: Versions and processor of the runs.
        data: What tells their data from others, by split; empty where that is not known.
    """

    recipe: str
    score: str
    scores: Mapping[int, float]
    settings: Mapping[str, Any]
    made_with: Mapping[str, str]
    data: Mapping[str, str]

    @property
    def mean(self) -> float:
        """Of the runs."""
        return statistics.fmean(self.scores.values())

    @property
    def deviation(self) -> float:
        """The standard deviation of a run, estimated from these."""
        return max(LEAST_DEVIATION, statistics.stdev(self.scores.values()))

    def limits(self, runs: int = 1) -> tuple[float, float]:
        """Between which the mean of so many further runs falls with `CONFIDENCE`.

        The prediction interval of a normal, mean -+ t(n - 1) s sqrt(1 / k + 1 / n): few runs make a
        wide band.
        """
        count = len(self.scores)
        factor = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * (1 / runs + 1 / count) ** 0.5
        return self.mean - factor * self.deviation, self.mean + factor * self.deviation

    def describe(self) -> str:
        """In a line."""
        low, high = self.limits()
        return (
            f"{self.score} {low:.4f} to {high:.4f} ({len(self.scores)} seeds: "
            f"mean {self.mean:.4f}, standard deviation {self.deviation:.4f}): a single run shows a "
            f"loss of more than {self.mean - low:.4f}"
        )


def write_band(path: Path, band: Band) -> None:
    """Writes a band as JSON, its mean and limits beside it for people."""
    low, high = band.limits()
    summary = {"mean": band.mean, "deviation": band.deviation, "low": low, "high": high}
    content = {**band._asdict(), "summary": {key: round(each, 5) for key, each in summary.items()}}
    write_json(path, content)


def read_band(path: Path) -> Band:
    """Reads a band; its summary is computed anew.

    Raises:
        UserError: The file cannot be read, or holds none.
    """
    try:
        content = json.loads(read_start(path, MAX_FILE_BYTES))
        scores = {int(seed): read_score(score) for seed, score in content["scores"].items()}
        recipe, score = (str(content[key]) for key in ("recipe", "score"))
        mappings = (dict(content[key]) for key in ("settings", "made_with", "data"))
        band = Band(recipe, score, scores, *mappings)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: is no band of scores; mnv2-dense check_score --record writes one"
        ) from error
    if len(scores) < FEWEST:
        raise UserError(f"{path}: has {len(scores)} runs; a band needs {FEWEST} at least")
    return band


def read_score(value: Any) -> float:
    """A score as a file has it.

    Raises:
        ValueError: It is no number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no score, a number from 0 to 1")
    return float(value)


def join_runs(runs: Sequence[Band]) -> Band:
    """The band of several runs, each of which is given as one of a single seed.

    Raises:
        UserError: They are of several recipes, of one seed, or too few.
    """
    first = runs[0]
    for other in runs[1:]:
        if changes := list_changes(first.settings, other.settings):
            raise UserError(f"the runs are of several recipes: {'; '.join(changes)}")
        if first.data != other.data:
            raise UserError("the runs are of several data sets")
    scores = {seed: score for run in runs for seed, score in run.scores.items()}
    if len(scores) < len(runs):
        raise UserError("two runs have the same seed; give each its own, by training.seed")
    if len(scores) < FEWEST:
        raise UserError(f"{len(scores)} runs given; a band needs {FEWEST} at least, better 5")
    return first._replace(scores=dict(sorted(scores.items())))


def list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between the settings of two runs, `key: before -> after`."""
    keys = sorted({*before, *after})
    pairs = ((key, before.get(key), after.get(key)) for key in keys)
    return [f"{key}: {old} -> {new}" for key, old, new in pairs if old != new]
