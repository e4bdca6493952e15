"""What a run's folder holds, whole or not."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.config.loader import load_any_config
from mnv2_dense.config.schema import AnyConfig, Config, JointConfig
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_seal
from mnv2_dense.reporting.clock import Session, read_sessions
from mnv2_dense.reporting.log import Log, read_log
from mnv2_dense.small_files import is_file, read_start
from mnv2_dense.training.runs import BEST, checkpoint_folder

SCORES = {"detection": "mAP", "segmentation": "mIoU", "joint": "score"}
"""The score of each task that chooses the best checkpoint."""
LONGEST_JSON = 1 << 27


class Run(NamedTuple):
    """A run's folder.

    Attributes:
        folder: Where it is.
        config: Of its last session.
        environments: What every session wrote down of where it ran, the first one first.
        log: Its curves.
        sessions: When it ran.
    """

    folder: Path
    config: AnyConfig
    environments: list[dict[str, Any]]
    log: Log
    sessions: list[Session]

    @property
    def best(self) -> Path | None:
        """Its best checkpoint, if there is one."""
        path = checkpoint_folder(self.folder) / BEST
        return path if is_file(path) else None

    @property
    def score(self) -> str:
        """Name of the score that chose it."""
        return SCORES[self.config.task]


def split_config(config: AnyConfig) -> dict[str, Config]:
    """The configs of a run's tasks by their names: of a joint network two, else one."""
    if not isinstance(config, JointConfig):
        return {config.task: config}
    return {"detection": config.detector(), "segmentation": config.segmenter()}


class Measured(NamedTuple):
    """An evaluation that was written to a folder.

    Attributes:
        folder: Has `metrics.json` and the task's own files.
        metrics: The content of that file.
    """

    folder: Path
    metrics: dict[str, Any]

    def of(self, task: str) -> dict[str, Any]:
        """The part of one task; all, where there is but one."""
        return self.metrics.get(task, self.metrics)


def open_run(folder: Path) -> Run:
    """What a run's folder holds.

    Raises:
        UserError: It is no run's folder, or its config cannot be read.
    """
    if not is_file(folder / "config.yaml"):
        raise UserError(
            f"{folder}: no folder of a run, as it has no config.yaml; give the one that "
            "mnv2-dense train printed, OUTPUT/NAME/DATE-TIME"
        )
    numbered = enumerate([folder / "config.yaml", *_resumed(folder, "config", ".yaml")])
    *_, (last, config) = numbered
    names = [f"environment{_suffix(session)}.json" for session in range(last + 1)]
    found = (_read_json(folder / name) for name in names)
    return Run(
        folder,
        load_any_config(config),
        [each for each in found if isinstance(each, dict)],
        read_log(folder / "metrics.csv"),
        read_sessions(folder / "tensorboard"),
    )


def find_evaluation(run: Run, problems: list[str]) -> Measured | None:
    """The evaluation of a run's best checkpoint: its own at its end, or one done afterwards.

    Args:
        run: The run.
        problems: Is given a sentence for what is there and cannot be used.
    """
    for folder in (run.folder, run.folder / "evaluation-best"):
        path = folder / "metrics.json"
        if not is_file(path):
            continue
        metrics = _read_json(path)
        if not _is_sound(metrics, run):
            problems.append(f"{path} is damaged and not used")
        elif not _is_current(metrics, run.best):
            problems.append(f"{path} is of another checkpoint than {BEST} as it is now, not used")
        else:
            return Measured(folder, metrics)
    return None


def _is_current(metrics: dict[str, Any], best: Path | None) -> bool:
    """Whether an evaluation is of a checkpoint; one that does not say of which is taken for it."""
    seal = metrics.get("checkpoint_seal")
    return best is None or seal is None or seal == read_seal(best)


def _resumed(folder: Path, name: str, suffix: str) -> list[Path]:
    """The files of the sessions after the first, in their order."""
    paths: list[Path] = []
    while is_file(path := folder / f"{name}{_suffix(len(paths) + 1)}{suffix}"):
        paths.append(path)
    return paths


def _suffix(session: int) -> str:
    return f"-resumed-{session}" if session else ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_start(path, LONGEST_JSON))
    except (OSError, ValueError, RecursionError):
        return None


def _is_sound(metrics: Any, run: Run) -> bool:
    """Whether the numbers of an evaluation are where they should be."""
    if not isinstance(metrics, dict) or not _is_score(metrics.get(run.score)):
        return False
    measured = Measured(run.folder, metrics)
    parts = {task: measured.of(task) for task in split_config(run.config)}
    return all(
        isinstance(part, dict)
        and isinstance(part.get("per_class"), dict)
        and _is_score(part.get(SCORES[task]))
        for task, part in parts.items()
    )


def _is_score(value: object) -> bool:
    """Whether it can be a score: -1 stands for nothing to measure."""
    return isinstance(value, int | float) and -1 <= value <= 1
