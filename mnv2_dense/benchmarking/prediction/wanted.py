"""What is asked to be measured, refused before the work where it cannot be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv2_dense.benchmarking.prediction.peers import open_tflite
from mnv2_dense.benchmarking.prediction.settings import SETTINGS
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import ENGINES, load
from mnv2_dense.structures import ImageSize


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        threads: Of every engine and peer.
        repetitions: Of every call.
        engines: Names of `ENGINES`; none for all that are installed.
        task: `detection` or `segmentation`; None for both.
        models: Exported files that are timed beside the networks of the same task and input.
        tflite: A file that the TFLite runtime is timed on beside DeepLabv3.
        pictures: Folder of pictures, of which the first are used; None for drawn ones.
        out: JSON file for all figures.
    """

    threads: int = 2
    repetitions: int = 30
    engines: Sequence[str] = ()
    task: str | None = None
    models: Sequence[Path] = ()
    tflite: Path | None = None
    pictures: Path | None = None
    out: Path | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """One of them, or all."""
        return tuple(SETTINGS) if self.task is None else (self.task,)


def check(wanted: Wanted) -> None:
    """Refuses engines and files that cannot be timed.

    Raises:
        UserError: One is not known or not there, or is for something else than what is timed.
    """
    unknown = [name for name in wanted.engines if name not in ENGINES]
    if unknown:
        allowed = ", ".join(ENGINES)
        raise UserError(f"--engines: {', '.join(unknown)} is not known; allowed: {allowed}")
    if wanted.tflite is not None:
        _check_tflite(wanted.tflite, wanted.tasks)
    for name, count in Counter([*ENGINES, *(path.name for path in wanted.models)]).items():
        if count > 1:
            raise UserError(f"--models: several are called {name}; they are told apart by name")
    for path in wanted.models:
        _check_model(path, wanted.tasks)


def _check_tflite(path: Path, tasks: Sequence[str]) -> None:
    if "segmentation" not in tasks:
        raise UserError("--tflite: its file is timed beside DeepLabv3; give --task segmentation")
    if not path.is_file():
        raise UserError(f"--tflite {path}: no such file")
    open_tflite(path, 1, _size("segmentation"))


def _check_model(path: Path, tasks: Sequence[str]) -> None:
    manifest = load(path).manifest
    if manifest.task not in tasks or manifest.input_size != _size(manifest.task):
        height, width = manifest.input_size
        raise UserError(
            f"--models {path}: is for {manifest.task} of {width}x{height}; timed are "
            + " and ".join(f"{task} of {_size(task).width}" for task in tasks)
        )


def _size(task: str) -> ImageSize:
    """Of the input of the network that is timed."""
    return ImageSize(**SETTINGS[task]["input"])
