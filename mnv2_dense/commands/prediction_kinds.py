"""What a prediction job asks of a network, whatever that predicts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from mnv2_dense.cli import DISK_FULL
from mnv2_dense.errors import UserError


class Source(NamedTuple):
    """A picture to predict: its file, its number among all, and the name of its results."""

    path: Path
    number: int
    name: str


class Prediction(NamedTuple):
    """What one picture gave: in words, and as JSON records."""

    words: str
    records: list[dict[str, Any]]


Failed = UserError | OSError
"""A picture that cannot be read, or a result that cannot be written."""


class Recorder(ABC):
    """Shows pictures to a network, and records what it sees in them."""

    engine: str | None = None
    """What runs the network, for users."""
    threads: int = 1
    """That may call it at once."""
    batch: int = 1
    """Pictures that it is best shown together."""
    records_name: ClassVar[str]
    """File of the records of all predicted pictures."""
    result_folders: tuple[str, ...]
    """Folders, below the output folder, of the pictures that a prediction writes."""

    @abstractmethod
    def predict(self, source: Source, out: Path) -> Prediction:
        """Predicts one picture, upright, and writes what there is to see of it below `out`.

        In each of `result_folders` it leaves `NAME.png`, by the source's name, complete or not at
        all.

        Raises:
            UserError: The picture cannot be read.
        """

    def predict_together(self, sources: Sequence[Source], out: Path) -> list[Prediction | Failed]:
        """The same of several, each with its prediction or with what was wrong.

        Raises:
            OSError: The disk is full.
        """
        return [attempt(lambda source=source: self.predict(source, out)) for source in sources]


Opener = Callable[[], Recorder]


class Opened(NamedTuple):
    """A network, and what opens the same one in another process, to which it can be sent."""

    recorder: Recorder
    opener: Opener


def attempt(predict: Callable[[], Prediction]) -> Prediction | Failed:
    """What a picture gives, or what is wrong with it.

    Raises:
        OSError: The disk is full: it would be so for every other picture, too.
    """
    try:
        return predict()
    except (UserError, OSError) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        return error


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 box`, `2 boxes`.

    Args:
        number: How many there are.
        noun: One of them.
        plural: More of them, where that is not the noun with an s.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
