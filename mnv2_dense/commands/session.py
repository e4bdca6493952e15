"""What every command that runs a network needs: data at hand, a checkpoint opened, quiet logs."""

import logging
import warnings
from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mnv2_dense.builders import Index, read_split
from mnv2_dense.config.schema import Config
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.shapes.dataset import generate


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


def ensure_data(config: Config) -> None:
    """Draws the built-in data set, if the config asks for it and it is not there yet."""
    root = Path(config.data.root)
    if config.data.generate == "shapes" and not root.exists() and rank_zero_only.rank == 0:  # pyrefly: ignore[missing-attribute]
        say(f"drawing the built-in data set into {root}")
        generate(root)


def read_data(config: Config, split: str) -> Index:
    """A split of the config's data, with its bad boxes said."""
    index = read_split(config, split)
    if isinstance(index, DetectionIndex):
        for message in filter(None, (*index.notes, index.box_report.message())):
            say(message)
    return index
