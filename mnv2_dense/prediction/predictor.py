"""A network that pictures are shown to: one, many, a video; by whichever engine runs it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, cast, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays, check_count
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.results import Result
from mnv2_dense.prediction.seeing import DetectorSight, Run, SegmenterSight, Shown
from mnv2_dense.prediction.sources import Item, Place, find_items, is_one
from mnv2_dense.prediction.streaming import in_groups, in_order

if TYPE_CHECKING:
    from mnv2_dense.prediction.sources import InMemory, One, Source

SCORE_THRESHOLD = 0.3
"""Lowest score of a box where no other is asked for."""

_log = logging.getLogger(__name__)


class Failure(NamedTuple):
    """A picture, or a source of a list, that failed: its name, and why, which names it too."""

    source: str
    message: str


class Predictor:
    """Shows pictures to a network.

    It may be used by several threads at once.

    Args:
        engine: Runs the network for single pictures, with all threads.
        threads: That work on a stream.
        open_more: Opens one more engine of one thread, to run beside others; None where the
            engine is to run streams too, one batch at a time.

    Attributes:
        engine: See above; its `name` says which library runs the network.
        manifest: What the network says of itself: task, classes, input, decoding, precision.
    """

    def __init__(
        self, engine: Engine, threads: int, open_more: Callable[[], Engine] | None = None
    ) -> None:
        self.engine = engine
        self.manifest: Manifest = engine.manifest
        self.threads = threads
        self._open_more = open_more
        detects = self.manifest.task == "detection"
        self._sight = (DetectorSight if detects else SegmenterSight)(self.manifest, engine.name)
        self._lock = threading.Lock()
        # What may run at once on a stream; None is an engine that is not opened before it is due.
        self._engines: queue.SimpleQueue[Engine | None] = queue.SimpleQueue()
        for _ in range(threads if open_more is not None else 1):
            self._engines.put(None)

    @overload
    def predict(
        self, source: InMemory, *, batch: int = 1, score_threshold: float = SCORE_THRESHOLD
    ) -> Result: ...

    @overload
    def predict(
        self, source: str | Path, *, batch: int = 1, score_threshold: float = SCORE_THRESHOLD
    ) -> Result | Predictions: ...

    @overload
    def predict(
        self,
        source: int | Iterable[One],
        *,
        batch: int = 1,
        score_threshold: float = SCORE_THRESHOLD,
    ) -> Predictions: ...

    def predict(
        self, source: Source, *, batch: int = 1, score_threshold: float = SCORE_THRESHOLD
    ) -> Result | Predictions:
        """What the network sees in one picture, or in each of many.

        One picture has one result. All else has an iterator of results in order, which reads,
        prepares and runs pictures in several threads while results are taken, and holds only a
        few at a time. A picture that cannot be read is then named in a log line and in
        `Predictions.failed`, and the others go on; so is a folder, pattern or video of a list.

        Args:
            source: One picture: its path; a PIL image; an array, uint8 RGB [H, W, 3]; a tensor
                [3, H, W], uint8 or float from 0 to 1. Many: a folder, searched at every depth; a
                pattern as `photos/*.jpg`; a video's path; a camera's number; or any iterable of
                these but cameras. Pictures in files are turned upright, as viewers show them;
                those in memory are taken as they are.
            batch: Pictures of a stream that the network is shown at once.
            score_threshold: Of a detector: lowest score of a box. A model file holds a threshold
                of its own, too (`manifest.decoding`), below which it gives none.

        Raises:
            UserError: At once: the one picture cannot be read, or is none. While results are
                taken: a folder or pattern, given alone, has no pictures, a video is missing or
                broken, or there is no such camera.
        """
        check_threshold(score_threshold)
        check_count("batch", batch)
        if not is_one(source):
            return self._predict_many(find_items(source), batch, score_threshold)
        in_file = isinstance(source, str | Path)
        item = Item(str(source)) if in_file else Item("picture", cast("InMemory", source))
        return self._sight.see(self._run_alone, [_show(item)], score_threshold)[0]

    def _predict_many(
        self, items: Iterator[Item], batch: int, score_threshold: float
    ) -> Predictions:
        work = partial(self.see_together, score_threshold=score_threshold)
        groups = in_groups(items, min(batch, self.manifest.batch or batch))
        return Predictions(in_order(work, groups, self.stream_threads))

    @property
    def stream_threads(self) -> int:
        """Threads that show pictures of a stream; two at least, as one may read a file."""
        return max(2, self.threads)

    def see_together(
        self, items: Sequence[Item], score_threshold: float = SCORE_THRESHOLD
    ) -> list[Result | Failure]:
        """Results of some pictures in their order, for a caller with threads of its own.

        Several threads at once share the engines that streams are run by.
        """
        read = [_try(item) for item in items]
        shown = [each for each in read if isinstance(each, Shown)]
        if not shown:
            return [each for each in read if isinstance(each, Failure)]
        with self._borrow() as run:
            results = iter(self._sight.see(run, shown, score_threshold))
        return [each if isinstance(each, Failure) else next(results) for each in read]

    @contextmanager
    def _borrow(self) -> Iterator[Run]:
        """An engine that no other thread uses meanwhile."""
        if self._open_more is None:
            yield self._run_alone
            return
        engine = self._engines.get()
        try:
            if engine is None:
                engine = self._open_more()
            yield engine.run
        finally:
            self._engines.put(engine)

    def _run_alone(
        self, images: NDArray[np.uint8], score_threshold: float
    ) -> DetectorArrays | SegmenterArrays:
        with self._lock:
            return self.engine.run(images, score_threshold)


def check_threshold(value: object) -> None:
    """Refuses what is no score.

    Raises:
        UserError: It is no number from 0 to 1.
    """
    if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise UserError(f"score_threshold is from 0 to 1, not {value!r}")


class Predictions(Iterator[Result]):
    """Results in the order of their pictures.

    Leaving a loop over it early ends its threads, at the latest when it is no longer used;
    `close`, or a `with` block, ends them as soon as the pictures in work are done.

    Attributes:
        failed: The pictures, and the sources of a list, that failed so far.
    """

    def __init__(self, groups: Generator[list[Result | Failure], None, None]) -> None:
        self.failed: list[Failure] = []
        self._groups = groups
        self._ready: Iterator[Result | Failure] = iter(())

    @override
    def __next__(self) -> Result:
        while True:
            for found in self._ready:
                if isinstance(found, Result):
                    return found
                self.failed.append(found)
                _log.warning("%s", found.message)
            self._ready = iter(next(self._groups))

    def close(self) -> None:
        """Ends its threads."""
        self._ready = iter(())
        self._groups.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _show(item: Item) -> Shown:
    start = perf_counter()
    picture = item.read()
    return Shown(item.name, picture, perf_counter() - start, item.picture is not Place.FILE)


def _try(item: Item) -> Shown | Failure:
    try:
        return _show(item)
    except UserError as error:
        return Failure(item.name, str(error))
