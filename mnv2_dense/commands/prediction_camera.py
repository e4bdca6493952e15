"""The end of what a camera shows, which goes on until it is told to stop."""

import signal
from collections.abc import Iterator
from typing import Self

from mnv2_dense.prediction.results import Result

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""That end the video of a camera."""


class CameraEnd:
    """Ctrl-C and SIGTERM as the end of a camera's video, between two frames.

    They interrupt the waiting for a frame; one that is being drawn and written is completed.
    After SIGTERM the command ends when the block does, with exit code 143.
    """

    def __init__(self) -> None:
        self._number = 0
        self._waiting = False

    def until(self, results: Iterator[Result]) -> Iterator[Result]:
        """Results until the first signal."""
        while (result := self._wait(results)) is not None:
            yield result

    def _wait(self, results: Iterator[Result]) -> Result | None:
        try:
            self._waiting = True
            result = None if self._number else next(results, None)
            self._waiting = False
        except KeyboardInterrupt:
            return None
        return result

    def _arrive(self, number: int, _: object) -> None:
        self._number = number
        if self._waiting:
            self._waiting = False  # Here: a second signal must not interrupt the end.
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._arrive) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._number == signal.SIGTERM:
            signal.raise_signal(self._number)
