"""A prediction that may be ended at any moment, shared, and gone on with by the same command."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from mnv2_dense.commands.outputs import SETTINGS, Outputs
from mnv2_dense.commands.prediction_end import (
    SomeFailedError,
    finish_job,
    list_some,
    open_bar,
    say,
)
from mnv2_dense.commands.prediction_kinds import Opened, Source
from mnv2_dense.commands.prediction_parts import read_state
from mnv2_dense.commands.prediction_workers import (
    GOES_ON,
    Report,
    Task,
    predict_apart,
    predict_here,
)
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.commands.whole_file import whole_file
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import model_files
from mnv2_dense.prediction.predictor import Failure

LINES = 200
"""Pictures from which a bar is shown instead of a line per picture."""


class Share(NamedTuple):
    """One of several parts of a job, each done by a command of its own; from 1."""

    number: int
    count: int


WHOLE = Share(1, 1)
ADDED: Final = {"drawings": True}
"""Settings that earlier versions had no choice of, and what they did."""


def describe_weights(weights: str) -> str:
    """What weights are known by: the hash of their files, or a name that stands for a download."""
    path = Path(weights)
    if not path.suffix:
        from mnv2_dense.backbone.weights import IMAGENET  # Imports torch, which takes seconds.

        if weights == IMAGENET:
            return weights
    hashes = []
    for part in model_files(path):
        with part.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return "sha256:" + "+".join(hashes)


def check_settings(outputs: Outputs, settings: Mapping[str, Any]) -> None:
    """Refuses to go on with what was begun otherwise.

    Raises:
        UserError: It was, or what it was begun with cannot be read.
    """
    path = outputs.job / SETTINGS
    if not path.exists():
        return
    try:
        before = {**ADDED, **json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged; give another --out") from error
    now = {**ADDED, **settings}
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise UserError(
                f"--out {outputs.out}: its results were made with {key}={before.get(key)}, and "
                f"now it is {now.get(key)}; give another --out (or remove that folder)"
            )


def run_job(
    opened: Opened,
    sources: Sequence[str | Path],
    outputs: Outputs,
    settings: Mapping[str, Any],
    processes: int,
    share: Share,
    *,
    json_lines: bool = False,
) -> None:
    """Predicts what is not done yet of a share, and writes the records when nothing is left.

    Args:
        opened: The network.
        sources: Pictures, folders of pictures, and patterns.
        outputs: Of the job.
        settings: What results depend on; they must stay the same.
        processes: How many predict.
        share: Of the pictures.
        json_lines: Whether the records are also written picture by picture, a line each.

    Raises:
        SomeFailedError: Sources were not found, or pictures could not be read; all else is done.
        UserError: The job was begun with other settings, or a process died.
    """
    check_settings(outputs, settings)
    pictures, missing = _find(sources, outputs)
    with _stoppable():
        given = outputs.claim(pictures)
        _write_settings(outputs, settings)
        own = [position for position in given if position % share.count == share.number - 1]
        done = read_state(outputs).done
        if skipped := sum(position in done for position in own):
            say(f"{skipped} of {len(own)} pictures are done already")
        tasks = [_task(each, given[each], outputs) for each in own if each not in done]
        with _reporting(len(tasks)) as report:
            if processes == 1 or len(tasks) < 2:
                predict_here(opened.recorder, tasks, outputs.out, report)
            else:
                count = min(processes, len(tasks))
                predict_apart(count, opened.opener, tasks, outputs.out, report)
        # What was done before may have been seen by another one.
        engine = None if skipped else opened.recorder.engine
        finish_job(outputs, given, own, engine, missing, json_lines=json_lines)


def _find(sources: Sequence[str | Path], outputs: Outputs) -> tuple[list[Path], list[Failure]]:
    """The pictures, and the sources that have none.

    Raises:
        SomeFailedError: There is no picture.
    """
    pictures: list[Path] = []
    missing: list[Failure] = []
    for source in sources:
        try:
            pictures += outputs.find_sources(source)
        except UserError as error:
            missing.append(Failure(str(source), str(error)))
    if not pictures:
        raise SomeFailedError(list_some([each.message for each in missing]))
    return pictures, missing


def _write_settings(outputs: Outputs, settings: Mapping[str, Any]) -> None:
    try:
        with whole_file(outputs.job / SETTINGS, first=True) as file:
            file.write(json.dumps(settings, indent=1) + "\n")
    except FileExistsError:  # Perhaps of another command that began just now.
        check_settings(outputs, settings)


def _task(position: int, path: Path, outputs: Outputs) -> Task:
    _, number, name = outputs.list.pictures[position]
    return Task(position, Source(path, number, name))


@contextmanager
def _reporting(total: int) -> Iterator[Report]:
    """Says what was seen in each of few pictures, and how far it is with many."""
    if total <= LINES:
        yield _say_words
        return
    with open_bar(total, "pictures") as bar:
        yield lambda _: bar.update()


def _say_words(words: str | None) -> None:
    if words is not None:  # A file's name may be of no encoding.
        say(words.encode(errors="backslashreplace").decode())


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ends at SIGTERM as at Ctrl-C, and says that nothing is lost."""
    with ended_by_sigterm():
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            print(GOES_ON, file=sys.stderr)
            raise
