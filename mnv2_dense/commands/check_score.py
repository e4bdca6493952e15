"""Whether a finished run reached what its recipe reaches with other seeds."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.score_band import (
    Band,
    join_runs,
    list_changes,
    read_band,
    read_score,
    write_band,
)
from mnv2_dense.config.loader import load_any_config, parse_any_config
from mnv2_dense.config.schema import AnyConfig
from mnv2_dense.config.shipped import shipped_band
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.small_files import read_start
from mnv2_dense.training.checkpoint_io import CARD

SCORES = {"detection": "mAP", "segmentation": "mIoU"}
"""What is compared of each task's `metrics.json`."""
UNIMPORTANT = (
    *("name", "data.root", "data.num_workers", "training.output", "training.seed"),
    *("training.accelerator", "training.threads", "training.log_every", "training.report"),
    *("training.save_every_minutes", "training.compile", "training.photometric_on"),
)
"""Keys that change no score, or only as another seed does."""
EVALUATION = "evaluation.yaml"
"""What an evaluation leaves beside its scores, and training does not."""
MAX_FILE_BYTES = 10_000_000
OUTSIDE = 1
"""Exit code where a run is below the band."""


def check_score(runs: Sequence[Path], band: Path | None = None) -> None:
    """Says of each run whether it is within a band.

    Args:
        runs: Folders of finished runs of the band's recipe.
        band: The file of the band; None takes the one that comes with the first run's recipe.

    Raises:
        UserError: A run is not finished, or of another recipe; or there is no band.
        SystemExit: A run is below the band.
    """
    found = [read_run(run) for run in runs]
    path = _find_band(found[0].recipe) if band is None else band
    known = read_band(path)
    # Keys that came after the band was recorded have their defaults, as if they had been there.
    defaults = settings_of(parse_any_config({"task": found[0].settings["task"]}))
    settings = {**defaults, **known.settings}
    for run, each in zip(runs, found, strict=True):
        if changes := list_changes(settings, each.settings):
            raise UserError(f"{run}: is not of the recipe of {path}: {'; '.join(changes)}")
    print(f"{known.recipe}: {known.describe()}")
    verdicts = [_judge(run, each, known) for run, each in zip(runs, found, strict=True)]
    if len(found) > 1:
        verdicts.append(_judge_mean(found, known))
    if not all(verdicts):
        raise SystemExit(OUTSIDE)


def _find_band(recipe: str) -> Path:
    path = shipped_band(recipe)
    if not path.is_file():
        raise UserError(
            f"no band of scores comes with the recipe {recipe}; name a file by --band, see "
            "docs/proxy.md"
        )
    return path


def record_band(runs: Sequence[Path], band: Path) -> None:
    """Writes the band of finished runs that differ in their seeds alone.

    Args:
        runs: Their folders.
        band: The file, replaced if there.

    Raises:
        UserError: A run is not finished, or they are not of one recipe; or the file cannot be
            written.
    """
    check_output(band.parent)
    joined = join_runs([read_run(run) for run in runs])
    band.parent.mkdir(parents=True, exist_ok=True)
    write_band(band, joined)
    print(f"{joined.recipe}: {joined.describe()}\nwrote {band}")


def read_run(run: Path) -> Band:
    """The score of a finished run, as a band of its seed alone.

    Raises:
        UserError: It is no folder of a run that was trained to its end, its scores are of another
            evaluation, or it began with the weights of another run.
    """
    config = load_any_config(_part(run, "config.yaml"))
    if config.task not in SCORES:
        raise UserError(f"{run}: is of task {config.task}; bands are for {' and '.join(SCORES)}")
    metrics, environment = (_read_json(_part(run, f"{name}.json")) for name in _RECORDS)
    name = SCORES[config.task]
    _check_own(run, environment)
    try:
        scores = {config.training.seed: read_score(metrics.get(name))}
        made_with = _made_with(environment)
    except (ValueError, AttributeError) as error:
        raise UserError(f"{run}: its {name} or its environment is damaged: {error}") from error
    return Band(config.name, name, scores, settings_of(config), made_with, _data_of(run))


def settings_of(config: AnyConfig) -> dict[str, Any]:
    """Every key of a config, `section.key`, that decides about the score."""
    settings = _flatten(config.model_dump(mode="json"))
    return {key: value for key, value in settings if key not in UNIMPORTANT}


_RECORDS = ("metrics", "environment")


def _check_own(run: Path, environment: Mapping[str, Any]) -> None:
    """Refuses scores that are not of the run's own training and evaluation."""
    if (run / EVALUATION).exists():
        raise UserError(
            f"{run}: evaluate --out wrote its metrics.json; give a run's folder as training left it"
        )
    command = environment.get("command")
    given = command if isinstance(command, list) else []
    if words := [word for word in given if str(word).split("=")[0] == "--weights"]:
        raise UserError(
            f"{run}: began with {words[0]}; a band is of runs that begin by config alone"
        )


def _data_of(run: Path) -> dict[str, str]:
    """What the best checkpoint says of its data."""
    path = run / "checkpoints" / "best.ckpt"
    card = read_checkpoint(path).get(CARD) if path.is_file() else None
    return dict(card.get("data", {})) if isinstance(card, dict) else {}


def _judge_mean(found: Sequence[Band], band: Band) -> bool:
    """The same of the mean of several runs, which shows smaller losses."""
    mean = statistics.fmean(score for each in found for score in each.scores.values())
    low, _ = band.limits(len(found))
    words = "within the band" if mean >= low else "BELOW the band"
    print(
        f"mean of {len(found)} runs: {band.score} {mean:.4f}, {words} of such means, from {low:.4f}"
    )
    return mean >= low


def _judge(run: Path, found: Band, band: Band) -> bool:
    """Prints where a run stands; whether it is not below."""
    low, high = band.limits()
    if band.data and found.data and band.data != found.data:
        print(f"{run}: its data are not those of the band, or were drawn by other library versions")
    ((seed, score),) = found.scores.items()
    words = "within the band" if low <= score <= high else "BELOW the band"
    if score > high:
        words = "above the band: better than its recipe was; record it anew if that is meant"
    same = band.scores.get(seed)
    beside = "" if same is None else f" (seed {seed} gave {same:.4f} when it was recorded)"
    print(f"{run}: {found.score} {score:.4f}, {words}{beside}")
    return score >= low


def _part(run: Path, name: str) -> Path:
    path = run / name
    if not path.is_file():
        raise UserError(
            f"{run}: has no {name}; give the folder of a run that was trained to its end"
        )
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(read_start(path, MAX_FILE_BYTES)))
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise UserError(f"{path}: damaged, or no JSON file of a run") from error


def _made_with(environment: Mapping[str, Any]) -> dict[str, str]:
    packages = environment.get("packages") or {}
    processor = environment.get("processor") or environment.get("platform")
    return {"torch": str(packages.get("torch")), "processor": str(processor)}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of all depths, `section.key`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
