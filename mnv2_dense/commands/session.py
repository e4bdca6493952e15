"""What every command that runs a network needs: data at hand, a checkpoint opened, quiet logs."""

import logging
import time
import warnings
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mnv2_dense.builders import Index
from mnv2_dense.builders.any_task import AnyIndex, read_split, splits_of
from mnv2_dense.config.schema import AnyConfig, Config, columns_of
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.errors import UserError
from mnv2_dense.shapes.dataset import generate

DRAWING_LIMIT = 600
"""Seconds in which process 0 must have drawn the built-in data set."""


def say(text: str = "") -> None:
    """Prints a line, in the first process only."""
    if rank_zero_only.rank == 0:  # pyrefly: ignore[missing-attribute]
        print(text, flush=True)


def quiet_lightning() -> None:
    """Silences Lightning's remarks on hardware and on choices that the config makes."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    # Said of an epoch shorter than the interval; the interval counts over epochs.
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # DDP with channels-last: said of depthwise kernels, whose one-channel stride means nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # Said when a run goes on from a checkpoint that was moved.
    warnings.filterwarnings("ignore", message="The dirpath has changed.*")
    # Lightning 2.6 with torch 2.12: a deprecation inside Lightning itself.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")


def ensure_data(config: AnyConfig) -> None:
    """Draws the built-in data set, if the config asks for it and it is not there yet.

    One of several processes draws; the others wait until it is there.

    Raises:
        UserError: It cannot be drawn, or does not come.
    """
    for column in columns_of(config):
        root = Path(column.data.root)
        if column.data.generate != "shapes" or root.exists():
            continue
        if rank_zero_only.rank == 0:  # pyrefly: ignore[missing-attribute]
            say(f"drawing the built-in data set into {root}")
            generate(root)
        else:
            _wait_for(root)


def _wait_for(root: Path) -> None:
    """Waits until a folder is there, which it is only when it is complete."""
    end = time.monotonic() + DRAWING_LIMIT
    while not root.exists():
        if time.monotonic() > end:
            raise UserError(
                f"{root}: process 0 has not drawn it within {DRAWING_LIMIT} s; if it is on another "
                "machine, data.root must be on a disk of both"
            )
        time.sleep(0.2)


def read_data(config: Config, split: str) -> Index:
    """A split of the config's data, with its bad boxes said."""
    (index,) = splits_of(read_any_data(config, split))
    return index


def read_any_data(config: AnyConfig, split: str) -> AnyIndex:
    """The same of a config that may be a joint network's, with two data sets."""
    index = read_split(config, split)
    for each in splits_of(index):
        if isinstance(each, DetectionIndex):
            for message in filter(None, (*each.notes, each.box_report.message())):
                say(message)
    return index
