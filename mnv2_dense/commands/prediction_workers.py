"""Pictures predicted by this process or by several."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from mnv2_dense.cli import DISK_FULL
from mnv2_dense.commands.outputs import JOB_FOLDER
from mnv2_dense.commands.prediction_kinds import Failed, Opener, Prediction, Recorder, Source
from mnv2_dense.commands.prediction_parts import Part, done_line, failed_line, stamp_of
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import default_threads
from mnv2_dense.prediction.streaming import in_groups, in_order

_STOPPING = (signal.SIGINT, signal.SIGTERM)
GOES_ON = "what is done is kept, and the same command goes on"


class Task(NamedTuple):
    """A picture to predict: its position in the job's list, and the picture as it was given."""

    position: int
    source: Source


Report = Callable[[str | None], object]
"""Is told of each picture what was seen, or None where it failed."""


def predict_here(recorder: Recorder, tasks: Sequence[Task], out: Path, report: Report) -> None:
    """Predicts pictures in this process, and notes each in a part of its own.

    Raises:
        UserError: The disk is full.
    """
    try:
        with Part(out / JOB_FOLDER) as part:
            for line, words in _predict_all(recorder, tasks, out):
                part.add(line)
                report(words)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise UserError(f"--out {out}: {error.strerror}; {GOES_ON}") from error


Done = tuple[dict[str, Any], str | None]
"""A picture's line, and what is said of it."""


def _predict_all(recorder: Recorder, tasks: Sequence[Task], out: Path) -> Iterator[Done]:
    """Every picture in turn, while others are in work where the network takes several at once."""
    groups = in_groups(tasks, recorder.batch)
    work = partial(_predict, recorder, out)
    done = map(work, groups) if recorder.threads == 1 else in_order(work, groups, recorder.threads)
    return chain.from_iterable(done)


def _predict(recorder: Recorder, out: Path, tasks: Sequence[Task]) -> list[Done]:
    paths = [task.source.path for task in tasks]
    stamps = [stamp_of(path) if path.exists() else [] for path in paths]
    predictions = recorder.predict_together([task.source for task in tasks], out)
    return [_note(recorder, out, *each) for each in zip(tasks, stamps, predictions, strict=True)]


def _note(
    recorder: Recorder,
    out: Path,
    task: Task,
    stamp: Sequence[int],
    prediction: Prediction | Failed,
) -> Done:
    if isinstance(prediction, Exception):
        return failed_line(task.position, str(prediction)), None
    path, _, name = task.source
    files = [out / folder / f"{name}.png" for folder in recorder.result_folders]
    line = done_line(task.position, stamp, files, prediction.records)
    return line, f"{path}: {prediction.words}"


def predict_apart(
    count: int, opener: Opener, tasks: Sequence[Task], out: Path, report: Report
) -> None:
    """Predicts pictures in several processes, each with every `count`-th of them.

    Args:
        count: Of the processes; the threads of this one are divided among them.
        opener: Opens the network, in each process.
        tasks: What to predict.
        out: Folder of the results.
        report: Is told in this process, in the order in which pictures are done.

    Raises:
        UserError: A process was killed, or cannot write; the others are ended.
    """
    shares = [tasks[number::count] for number in range(count)]
    workers = _start(shares, default_threads() // count)
    try:
        for worker in workers:  # Which begin at the same time: a network may have many bytes.
            worker.give(opener, out)
        _watch(workers, report)
    finally:
        for worker in workers:
            worker.process.kill()  # They ignore what this process is ended with.
            worker.process.join()


class _Worker:
    """A process, and how far it is.

    Args:
        share: What it is to predict, from when it is given a network.
    """

    def __init__(self, share: Sequence[Task]) -> None:
        context = get_context("spawn")  # Of a process with threads, a fork may hang.
        self.share = share
        self.reported = 0
        self.messages, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, opener: Opener, out: Path) -> None:
        """Sends it its work; one that has died already is found by the end of its messages."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.messages.send((opener, self.share, out))

    def check_end(self) -> None:
        """Refuses an end before the share was done."""
        self.process.join()
        if self.reported == len(self.share):
            return
        code = self.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        if code == -signal.SIGKILL:
            how += " (the system does so where memory runs out)"
        path = self.share[self.reported].source.path
        raise UserError(f"a process {how} at {path}; {GOES_ON}")


def _start(shares: Sequence[Sequence[Task]], threads: int) -> list[_Worker]:
    # A new process keeps ignoring these: Ctrl-C reaches it too, and this one ends it.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPING}
    given = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads))  # What libraries there start with.
    try:
        return [_Worker(share) for share in shares]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        del os.environ["OMP_NUM_THREADS"]
        if given is not None:
            os.environ["OMP_NUM_THREADS"] = given


def _watch(workers: Sequence[_Worker], report: Report) -> None:
    running = list(workers)
    while running:
        ready = wait([worker.messages for worker in running])
        for worker in [each for each in running if each.messages in ready]:
            try:
                kind, words = worker.messages.recv()
            except (EOFError, OSError):  # OSError: killed within a message
                running.remove(worker)
                worker.check_end()
                continue
            if kind == "error":
                raise UserError(words)
            worker.reported += 1
            report(words)


def _work(messages: Connection) -> None:
    """What a process does; it ends at a picture where nobody listens any more."""
    try:
        opener, share, out = messages.recv()
    except (EOFError, OSError):  # OSError: nobody is there to send the rest.
        return
    try:
        predict_here(opener(), share, out, lambda words: messages.send(("picture", words)))
    except (BrokenPipeError, ConnectionResetError):
        return
    except (UserError, OSError) as error:
        messages.send(("error", str(error)))
