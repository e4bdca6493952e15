"""Whether a run may go on from a checkpoint under its config: what has changed since."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from mnv2_dense.builders.any_task import AnyIndex, AnyTask, fingerprint_sets
from mnv2_dense.builders.opening import check_classes, read_card
from mnv2_dense.builders.trainer import count_processes
from mnv2_dense.commands.resuming import Resumed
from mnv2_dense.commands.session import say
from mnv2_dense.config.document import write_value
from mnv2_dense.config.loader import parse_any_config
from mnv2_dense.config.schema import AnyConfig, columns_of
from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import load_state_dict
from mnv2_dense.training.checkpoint_io import CARD

NETWORK = ("backbone", "head", "anchors", "input")
"""Sections that say what is computed; a change in them makes another network."""

BEGINNING = ("backbone.weights",)
"""Keys of these that only say how the run began."""


def check_resumable(
    task: AnyTask, config: AnyConfig, resumed: Resumed, *, accept_changes: bool = False
) -> None:
    """Refuses to go on as another run than the checkpoint's, and says what has changed.

    Args:
        task: Built by `config`, its card described by `describe_run`.
        config: Of the run.
        resumed: The checkpoint.
        accept_changes: Whether other data, another input, batch or seed are wanted.

    Raises:
        UserError: It was made with another network, other classes, another optimiser, or by a
            run of other data or another order that the user has not accepted.
    """
    path, content = resumed
    check_classes(task, content, path)
    before = parse_any_config(read_card(content, path)[0], name=str(path))
    _check_length(config, resumed)
    dangerous = [*_other_data(task.card, content[CARD]), *_other_run(before, config)]
    if dangerous and not accept_changes:
        raise UserError(
            f"{path}: was made by another run: {'; '.join(dangerous)}. Set it back, start a new "
            "run, or give --accept-changes to go on all the same"
        )
    load_state_dict(task, content["state_dict"], path)
    _check_optimizer(task, before, config, resumed)
    changed = dict.fromkeys([*dangerous, *map(str, _changes(before, config))])
    if changed:
        say(f"changed since the checkpoint: {'; '.join(changed)}")
    if inexact := _inexact(task.card, content[CARD]):
        say(f"not bit for bit what the run would have become: {', '.join(inexact)}")


def describe_run(config: AnyConfig, train: AnyIndex, val: AnyIndex) -> dict[str, Any]:
    """What a checkpoint says of the data and of the machine, to be compared when it is resumed."""
    on_gpu = torch.cuda.is_available() and config.training.accelerator in ("auto", "gpu")
    return {
        "data": {"train": fingerprint_sets(train), "val": fingerprint_sets(val)},
        "machine": {
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "processes": count_processes(config),
            "images per process and batch": _batch_sizes(config),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
        },
    }


def _check_length(config: AnyConfig, resumed: Resumed) -> None:
    begun = max(resumed.epochs, resumed.content["epoch"] + 1)
    if begun > config.training.epochs:
        raise UserError(
            f"{resumed.path}: is of epoch {begun}, more than training.epochs="
            f"{config.training.epochs}; give a larger number, or start a new run"
        )


def _check_optimizer(task: AnyTask, before: AnyConfig, config: AnyConfig, resumed: Resumed) -> None:
    """Loads the optimiser's state once on trial."""
    if before.optimizer.name != config.optimizer.name:
        raise UserError(
            f"{resumed.path}: was trained with optimizer.name={before.optimizer.name}, whose state "
            f"{config.optimizer.name} cannot go on from; keep it, or start a new run"
        )
    optimizer = task.make_optimizer(task.network)
    try:
        (state,) = resumed.content["optimizer_states"]
        optimizer.load_state_dict(state)
        fits = all(
            value.ndim == 0 or value.shape == weight.shape
            for weight, values in optimizer.state.items()
            for value in values.values()
            if isinstance(value, torch.Tensor)
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(
            f"{resumed.path}: the state of its optimiser does not fit the network; it cannot be "
            "gone on from. Give it as --weights to begin a run with its weights"
        )


class _Change(NamedTuple):
    section: str
    key: str
    before: object
    now: object

    def __str__(self) -> str:
        place = f"{self.section}.{self.key}" if self.section else self.key
        return f"{place}={write_value(self.now)} (was {write_value(self.before)})"


def _changes(before: AnyConfig, now: AnyConfig) -> Iterator[_Change]:
    """Every key whose value differs."""
    yield from _differences(before.model_dump(mode="json"), now.model_dump(mode="json"), "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], section: str) -> Iterator[_Change]:
    for key, value in new.items():
        if isinstance(value, dict):
            yield from _differences(old[key], value, f"{section}.{key}".lstrip("."))
        elif value != old[key]:
            yield _Change(section, key, old[key], value)


def _other_data(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """The splits whose pictures or ground truth are not those of the checkpoint."""
    before = theirs.get("data", {})  # Older checkpoints do not say.
    words = {"train": "other training data", "val": "other validation data"}
    return [words[key] for key in words if before.get(key) not in (None, ours["data"][key])]


def _other_run(before: AnyConfig, now: AnyConfig) -> list[str]:
    """Changes by which the network is another one, or the samples another sequence."""
    found = [
        str(change)
        for change in _changes(before, now)
        if (
            change.section.split(".")[-1] in NETWORK
            and f"{change.section}.{change.key}" not in BEGINNING
        )
        or (change.section, change.key) == ("training", "seed")
    ]
    batches = count_images(before), count_images(now)
    if batches[0] != batches[1]:
        found.append(
            f"{batches[1]} images per step (was {batches[0]}: data.batch_size x processes x "
            "training.accumulate_batches)"
        )
    return found


def count_images(config: AnyConfig) -> int:
    """Images of one optimiser step, in all processes."""
    batches = config.training.accumulate_batches * count_processes(config)
    return _batch_sizes(config) * batches


def _batch_sizes(config: AnyConfig) -> int:
    """Images of a batch in a process; of a joint network of two batches, one of each set."""
    return sum(column.data.batch_size for column in columns_of(config))


def _inexact(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Why floating-point sums of this session differ in their last bits from the others'."""
    before, now = theirs.get("machine", {}), ours["machine"]
    reasons = [
        f"{key} {now[key]} (was {before[key]})"
        for key in now
        if key in before and before[key] != now[key]
    ]
    if now["device"] != "cpu" and not ours["config"]["training"]["deterministic"]:
        reasons.append("GPU kernels add in any order without training.deterministic=true")
    return reasons
