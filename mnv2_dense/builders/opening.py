"""Checkpoints opened: config, classes and weights out of one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv2_dense.builders import Task
from mnv2_dense.builders.any_task import AnyTask, build_task
from mnv2_dense.builders.joint import split_categories
from mnv2_dense.builders.trained import VARIANT, check_same
from mnv2_dense.config.loader import parse_any_config, parse_config
from mnv2_dense.config.schema import AnyConfig, Config, JointConfig, SegmentationConfig, columns_of
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.state_dict import load_state_dict
from mnv2_dense.structures import Category
from mnv2_dense.training.checkpoint_io import CARD

MACHINE = ("accelerator", "devices", "num_nodes", "threads", "precision", "sync_batchnorm")
"""Keys of `training` that say what a network was trained on, not what it is."""


def open_checkpoint(
    path: Path, overrides: Sequence[str] = ()
) -> tuple[Config, list[Category], Task]:
    """Config, classes and task of a checkpoint of this project.

    Raises:
        UserError: The file cannot be read, is not ours, or does not fit its own config.
    """
    return open_content(read_checkpoint(path), path, overrides)


def open_content(
    content: Mapping[str, Any], path: Path, overrides: Sequence[str] = ()
) -> tuple[Config, list[Category], Task]:
    """The same of a file that was read already."""
    parse_card(read_card(content, path)[0], path, overrides)  # Refuses a joint network.
    config, categories, task = open_any_content(content, path, overrides)
    assert not isinstance(config, JointConfig)
    assert isinstance(task, Task)
    return config, categories, task


def open_any_content(
    content: Mapping[str, Any], path: Path, overrides: Sequence[str] = ()
) -> tuple[AnyConfig, list[Category], AnyTask]:
    """The same of a checkpoint that may be of a joint network, too."""
    stored, categories = read_card(content, path)
    config = parse_any_card(stored, path, overrides)
    check_same_classes(config, categories, path)
    task = build_task(config, categories)
    check_variant(task.card["config"], stored, path)
    load_state_dict(task, content.get("state_dict", {}), path)
    return config, categories, task


def parse_card(stored: Any, path: Path, overrides: Sequence[str] = ()) -> Config:
    """A stored config, checked, without what described the machine it was trained on.

    Raises:
        UserError: It, or an override, is not allowed.
    """
    return parse_config(_without_machine(stored), overrides, name=str(path))


def parse_any_card(stored: Any, path: Path, overrides: Sequence[str] = ()) -> AnyConfig:
    """The same where a joint network's config will do, too."""
    return parse_any_config(_without_machine(stored), overrides, name=str(path))


def _without_machine(stored: Any) -> Any:
    """A stored config without what described the machine it was trained on."""
    if not isinstance(stored, dict) or not isinstance(stored.get("training"), dict):
        return stored
    training = {key: value for key, value in stored["training"].items() if key not in MACHINE}
    return {**stored, "training": training}


def is_classifier(content: Mapping[str, Any]) -> bool:
    """Whether a checkpoint says that it is of a classifier, which has no task."""
    card = content.get(CARD)
    config = card.get("config") if isinstance(card, dict) else None
    return isinstance(config, dict) and config.get("task") == "classification"


def read_card(
    content: Mapping[str, Any], path: Path, *, classifier: bool = False
) -> tuple[Any, list[Category]]:
    """The config, not yet checked, and the classes that a checkpoint was made with.

    Raises:
        UserError: There is no card, or it is a classifier's and none is asked for.
    """
    if is_classifier(content) and not classifier:
        raise UserError(
            f"{path}: a classifier, which has no task to train or measure; show it pictures with "
            "mnv2-dense predict --weights, or give it as backbone.weights"
        )
    try:
        card = content[CARD]
        categories = [Category(int(number), str(name)) for number, name in card["categories"]]
        return card["config"], categories
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a checkpoint of mnv2_dense (it has no config inside); give a file from "
            "a run's checkpoints folder"
        ) from error


def check_same_categories(first: Sequence[Category], second: Sequence[Category], what: str) -> None:
    """Refuses two class lists that differ.

    Raises:
        UserError: The lists differ; the message names the first difference.
    """
    if list(first) == list(second):
        return
    pairs = zip(first, second, strict=False)
    difference = next((f"{a} and {b}" for a, b in pairs if a != b), "one is longer")
    raise UserError(
        f"{what} have different classes ({len(first)} and {len(second)}; first difference: "
        f"{difference}); they must list the same category ids and names"
    )


def check_same_classes(config: AnyConfig, categories: Sequence[Category], path: Path) -> None:
    """Refuses classes given for a checkpoint that has others.

    Raises:
        UserError: The config's class list or count is not the checkpoint's.
    """
    if isinstance(config, JointConfig):
        both = split_categories(config, categories)
        for column, own in zip(columns_of(config), both, strict=True):
            check_same_classes(column, own, path)
        return
    if config.data.num_classes not in (None, len(categories)):
        raise UserError(
            f"{path}: data.num_classes={config.data.num_classes}, but its network has "
            f"{len(categories)} classes"
        )
    if isinstance(config, SegmentationConfig) and config.data.classes is not None:
        given = [Category(label, name) for label, name in enumerate(config.data.classes)]
        check_same_categories(categories, given, f"{path} and data.classes")


def check_classes(task: AnyTask, content: Mapping[str, Any], path: Path) -> None:
    """Refuses a checkpoint of another kind of task, or of other classes than those of the data.

    Raises:
        UserError: It does not fit what `task` was built for.
    """
    stored, categories = read_card(content, path)
    check_kind(task, stored, path)
    check_variant(task.card["config"], stored, path)
    ours = [Category(*each) for each in task.card["categories"]]
    check_same_categories(categories, ours, f"{path} and the data")


def check_kind(task: AnyTask, stored: Any, path: Path) -> None:
    """Refuses a checkpoint of another kind of task.

    Raises:
        UserError: It is not of the task that `task` was built for.
    """
    wanted = task.card["config"]["task"]
    given = stored.get("task") if isinstance(stored, dict) else None
    if given != wanted:
        raise UserError(
            f"{path}: a checkpoint of task {given}, but the config is of task {wanted}; give a "
            "checkpoint of that task (a backbone of another one goes into backbone.weights)"
        )


def check_variant(given: Mapping[str, Any], stored: Mapping[str, Any], path: Path) -> None:
    """Refuses weights of another variant of MobileNetV2, which fit the network by their shapes.

    Args:
        given: The config that the network is built by.
        stored: The config that the weights were trained with.
        path: Of the weights.

    Raises:
        UserError: Padding, shortcuts or activations are not those of their training.
    """
    backbone = stored.get("backbone")
    trained = {"backbone": backbone if isinstance(backbone, Mapping) else {}}
    check_same(given, trained, path, VARIANT)


def stored_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config in a checkpoint, without what described the machine it was trained on.

    Raises:
        UserError: The file cannot be read or is not ours, or an override is not allowed.
    """
    return parse_card(read_card(read_checkpoint(path), path)[0], path, overrides)


def stored_any_config(path: Path, overrides: Sequence[str] = ()) -> AnyConfig:
    """The same where a joint network's config will do, too."""
    return parse_any_card(read_card(read_checkpoint(path), path)[0], path, overrides)


def load_weights(task: AnyTask, path: Path) -> None:
    """Loads the weights of a checkpoint into a task that a config built."""
    content = read_checkpoint(path)
    if CARD in content:
        check_classes(task, content, path)
    load_state_dict(task, content.get("state_dict", content), path)
