"""A network, opened by everything that runs it, before it is timed."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.benchmarking.prediction.settings import SETTINGS
from mnv2_dense.benchmarking.prediction.subjects import Opened, Subject, make_subject
from mnv2_dense.benchmarking.prediction.wanted import Wanted
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import ENGINES


class Lineup(NamedTuple):
    """What is timed in one interleaved run, and on which picture.

    subject: The network. opened: it by the engines that are installed. others: files of other
    weights, by name. picture: what all are shown. wanted: threads, repetitions and peers.
    """

    subject: Subject
    opened: Mapping[str, Opened]
    others: Mapping[str, Opened]
    picture: Picture
    wanted: Wanted

    @property
    def ours(self) -> dict[str, Opened]:
        """Everything of this project."""
        return {**self.opened, **self.others}


def line_up(task: str, picture: Picture, folder: Path, wanted: Wanted) -> Lineup:
    """Writes a task's network for every engine that is asked for, and opens it.

    Args:
        task: `detection` or `segmentation`.
        picture: What its random weights are fitted to, and what is shown.
        folder: For the files.
        wanted: See `Wanted`.

    Raises:
        UserError: None of the engines can run it, or another file cannot be opened.
    """
    engines = wanted.engines or tuple(ENGINES)
    subject = make_subject(SETTINGS[task], picture, folder, engines)
    opened = subject.open(engines, wanted.threads)
    if not opened:
        raise UserError("--engines: " + "; ".join(subject.left_out))
    others = subject.open_others(wanted.models, wanted.threads)
    return Lineup(subject, opened, others, picture, wanted)
