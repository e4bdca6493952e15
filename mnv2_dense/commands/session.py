"""What every command that runs a network needs: data at hand, a checkpoint opened, quiet logs."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mnv2_dense.build import build_task, read_split
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.coco import CocoIndex
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import load_state_dict, read_checkpoint
from mnv2_dense.shapes.dataset import generate
from mnv2_dense.structures import Category

CARD = "mnv2_dense"
"""Key of a checkpoint under which it says what it is."""


def say(text: str = "") -> None:
    """Prints a line, in the first process only."""
    if rank_zero_only.rank == 0:  # pyrefly: ignore[missing-attribute]
        print(text, flush=True)


def quiet_lightning() -> None:
    """Silences Lightning's remarks on hardware and on choices that the config makes."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    # Said of an epoch shorter than the interval; the interval counts over epochs.
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # Said when a run goes on from a checkpoint that was moved.
    warnings.filterwarnings("ignore", message="The dirpath has changed.*")
    # Lightning 2.6 with torch 2.12: a deprecation inside Lightning itself.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")


def ensure_data(config: DetectionConfig) -> None:
    """Draws the built-in data set, if the config asks for it and it is not there yet."""
    root = Path(config.data.root)
    if config.data.generate == "shapes" and not root.exists() and rank_zero_only.rank == 0:  # pyrefly: ignore[missing-attribute]
        say(f"drawing the built-in data set into {root}")
        generate(root)


def read_data(config: DetectionConfig, split: str) -> CocoIndex:
    """A split of the config's data, with its class count checked and its bad boxes said."""
    index = read_split(config, split)
    wanted = config.data.num_classes
    if wanted is not None and wanted != len(index.categories):
        raise UserError(
            f"data.num_classes={wanted}, but {config.data.root} has {len(index.categories)} "
            f"categories in its {split} annotations; give that number, or data.num_classes=null"
        )
    if message := index.dropped.message():
        say(message)
    return index


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


def open_checkpoint(
    path: Path, overrides: Sequence[str] = ()
) -> tuple[DetectionConfig, list[Category], DetectionTask]:
    """Config, classes and task of a checkpoint of this project.

    Raises:
        UserError: The file cannot be read, is not ours, or does not fit its own config.
    """
    content = read_checkpoint(path)
    card = content.get(CARD)
    if not isinstance(card, dict) or "state_dict" not in content:
        raise UserError(
            f"{path}: not a checkpoint of mnv2_dense (it has no config inside); give a file from "
            "a run's checkpoints folder"
        )
    config = parse_config(card["config"], overrides, name=str(path))
    categories = [Category(*category) for category in card["categories"]]
    task = build_task(config, categories)
    load_state_dict(task, content["state_dict"], path)
    return config, categories, task


def load_weights(task: DetectionTask, path: Path) -> None:
    """Loads the weights of a checkpoint into a task that a config built."""
    content = read_checkpoint(path)
    load_state_dict(task, content.get("state_dict", content), path)
