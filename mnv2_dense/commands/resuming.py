"""Which checkpoint a run goes on from: the newest that is whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mnv2_dense.commands.session import say
from mnv2_dense.config.schema import AnyConfig
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.state_dict import list_non_finite
from mnv2_dense.ops.texts import list_first
from mnv2_dense.training.runs import RESUMED_FROM, checkpoint_folder, is_finished, newest_run

NEWEST, AUTO = "", "auto"
"""What may be wished instead of a path: the newest run's, and that or a new run."""

NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step")
"""What a checkpoint must hold for Lightning to go on from it."""

WEIGHTS = ("state_dict", "current_model_state")
"""The weights it trained or averaged, and those it trained where they were averaged."""


LEARNT = ("averaging_state", "optimizer_states")
"""What else must be finite: a momentum that is not would spoil the weights in the first step."""


class Resumed(NamedTuple):
    """A checkpoint that a run goes on from."""

    path: Path
    content: Mapping[str, Any]

    @property
    def epochs(self) -> int:
        """Whole epochs trained."""
        return _epochs(self.content)


def find_checkpoint(config: AnyConfig, wish: str | None) -> Resumed | None:
    """The checkpoint that a run is to go on from; None if it is to begin.

    One that is torn, changed or foreign is told, and the run's next older one taken.

    Args:
        config: Of the run.
        wish: A path, `NEWEST` for the newest run of this name, `AUTO` for the same if there is
            an unfinished one, None for none.

    Raises:
        UserError: There is none, or none that can be read.
    """
    if wish is None:
        return None
    if wish not in (NEWEST, AUTO):
        return _read_first(_from(Path(wish)))
    run = newest_run(Path(config.training.output), config.name)
    if wish == AUTO and (run is None or is_finished(run)):
        say(f"--resume auto: no unfinished run of {config.name}; beginning one")
        return None
    if run is None:
        pattern = Path(config.training.output, config.name, "*", "checkpoints", RESUMED_FROM[0])
        raise UserError(
            f"--resume: no {pattern}; give the checkpoint's path, or leave --resume out to start "
            "a new run"
        )
    return _read_first([checkpoint_folder(run) / name for name in RESUMED_FROM])


def _from(path: Path) -> list[Path]:
    """A checkpoint, and the older ones of its run where it is the last."""
    if path.name not in RESUMED_FROM:
        return [path]
    return [path.with_name(name) for name in RESUMED_FROM[RESUMED_FROM.index(path.name) :]]


def _read_first(paths: list[Path]) -> Resumed:
    """The first that can be gone on from."""
    errors: list[UserError] = []
    for path in [paths[0], *filter(Path.exists, paths[1:])]:
        try:
            content = read_checkpoint(path)
            _check_whole(content, path)
        except UserError as error:
            errors.append(error)
            continue
        if errors:
            say("\n".join(str(error) for error in errors))
            say(f"going on from {path} instead, saved at step {content['global_step']}")
        return Resumed(path, content)
    raise errors[0]


def _check_whole(content: Mapping[str, Any], path: Path) -> None:
    """Refuses what holds weights alone, or numbers that a run cannot go on with.

    Raises:
        UserError: Something is missing or not finite.
    """
    if missing := [key for key in NEEDED if key not in content]:
        raise UserError(
            f"{path}: --resume needs a checkpoint of a run, and this one has no "
            f"{', '.join(missing)}; for its backbone alone, give it as backbone.weights"
        )
    if not isinstance(_epochs(content), int):
        raise UserError(f"{path}: does not say how many epochs it was trained for")
    for key in WEIGHTS:
        state = content.get(key, {})
        values = state.values() if isinstance(state, Mapping) else [state]
        if not all(isinstance(each, Tensor) for each in values):
            raise UserError(f"{path}: its {key} holds something else than tensors")
    used = {key: content.get(key) for key in (*WEIGHTS, *LEARNT)}
    if bad := list_non_finite(dict(_tensors(used, ""))):
        raise UserError(f"{path}: not finite: {list_first(bad)}")


def _tensors(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors in a value, with where they are."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _tensors(each, f"{name}/{key}".lstrip("/"))
    elif isinstance(value, (list, tuple)):
        for key, each in enumerate(value):
            yield from _tensors(each, f"{name}/{key}")


def _epochs(content: Mapping[str, Any]) -> Any:
    """Whole epochs trained, as Lightning counts them; None if it is not said."""
    value: Any = content
    for key in ("loops", "fit_loop", "epoch_progress", "current", "processed"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
