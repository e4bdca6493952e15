"""A prediction that may be ended at any moment, shared, and gone on with by the same command."""

import hashlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tqdm import tqdm

from mnv2_dense.backbone.weights import IMAGENET
from mnv2_dense.commands.column import Predictor, Source
from mnv2_dense.commands.outputs import SETTINGS, Outputs
from mnv2_dense.commands.prediction_parts import State, read_state, write_records
from mnv2_dense.commands.prediction_workers import (
    GOES_ON,
    Opener,
    Report,
    Task,
    predict_apart,
    predict_here,
)
from mnv2_dense.commands.session import say
from mnv2_dense.commands.whole_file import remove_parts, whole_file
from mnv2_dense.errors import UserError

SHOWN = 10
"""Failed pictures that are named at the end; all are in `FAILED`."""
FAILED = "failed.jsonl"
LINES = 200
"""Pictures from which a bar is shown instead of a line per picture."""
LOG_SECONDS = 30.0
"""Between two lines of the bar where no terminal shows it."""


class Share(NamedTuple):
    """One of several parts of a job, each done by a command of its own; from 1."""

    number: int
    count: int


WHOLE = Share(1, 1)


def describe_weights(weights: str) -> str:
    """What weights are known by: the hash of their file."""
    if weights == IMAGENET:
        return weights
    with Path(weights).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def check_settings(outputs: Outputs, settings: Mapping[str, Any]) -> None:
    """Refuses to go on with what was begun otherwise.

    Raises:
        UserError: It was, or what it was begun with cannot be read.
    """
    path = outputs.job / SETTINGS
    if not path.exists():
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged; give another --out") from error
    for key in sorted({*before, *settings}):
        if before.get(key) != settings.get(key):
            raise UserError(
                f"--out {outputs.out}: its results were made with {key}={before.get(key)}, and "
                f"now it is {settings.get(key)}; give another --out (or remove that folder)"
            )


def run_job(
    predictor: Predictor,
    opener: Opener,
    sources: Sequence[Path],
    outputs: Outputs,
    settings: Mapping[str, Any],
    processes: int,
    share: Share,
) -> None:
    """Predicts what is not done yet of a share, and writes the records when nothing is left.

    Args:
        predictor: For this process.
        opener: Opens the same in another process.
        sources: Pictures and folders of pictures.
        outputs: Of the job.
        settings: What results depend on; they must stay the same.
        processes: How many predict.
        share: Of the pictures.

    Raises:
        UserError: No picture was found, some could not be read, or a process died.
    """
    check_settings(outputs, settings)
    pictures = [path for source in sources for path in outputs.find_sources(source)]
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
                predict_here(predictor, tasks, outputs.out, report)
            else:
                predict_apart(min(processes, len(tasks)), opener, tasks, outputs.out, report)
        _finish(outputs, given, own)


def _write_settings(outputs: Outputs, settings: Mapping[str, Any]) -> None:
    try:
        with whole_file(outputs.job / SETTINGS, first=True) as file:
            file.write(json.dumps(settings, indent=1) + "\n")
    except FileExistsError:  # Perhaps of another command that began just now.
        check_settings(outputs, settings)


def _task(position: int, path: Path, outputs: Outputs) -> Task:
    _, number, name = outputs.list.pictures[position]
    return Task(position, Source(path, number, name))


def _finish(outputs: Outputs, given: Mapping[int, Path], own: Sequence[int]) -> None:
    """Writes the records if the other shares have come to an end too, and names what failed."""
    state = read_state(outputs)
    others = given.keys() - set(own) - state.done.keys() - state.failed.keys()
    if others:
        say(
            f"this share is done; {len(others)} pictures of other shares are not, and the command "
            f"that ends last writes {outputs.records}"
        )
    else:
        lines = [state.done[each] for each in given if each in state.done]
        written = write_records(outputs.records, lines)
        say(f"wrote {outputs.records}: {written} records of {len(given)} pictures")
        for folder in (outputs.job, *outputs.folders):
            remove_parts(folder)
    named = {each: given[each] for each in (own if others else given) if each not in state.done}
    _name_failed(outputs, named, state, len(own if others else given))


def _name_failed(outputs: Outputs, pictures: Mapping[int, Path], state: State, total: int) -> None:
    path = outputs.job / FAILED
    if not pictures:
        path.unlink(missing_ok=True)
        return
    messages = [
        state.failed.get(position, f"{picture}: changed while it was predicted")
        for position, picture in pictures.items()
    ]
    with whole_file(path) as file:
        for picture, message in zip(pictures.values(), messages, strict=True):
            file.write(json.dumps({"file_name": str(picture), "error": message}) + "\n")
    more = f"; and {len(messages) - SHOWN} more, all in {path}" if len(messages) > SHOWN else ""
    raise UserError(
        f"{len(messages)} of {total} pictures failed: " + "; ".join(messages[:SHOWN]) + more
    )


@contextmanager
def _reporting(total: int) -> Iterator[Report]:
    """Says what was seen in each of few pictures, and how far it is with many."""
    if total <= LINES:
        yield _say_words
        return
    seconds = 0.5 if sys.stderr.isatty() else LOG_SECONDS
    with tqdm(total=total, unit=" pictures", mininterval=seconds, maxinterval=2 * seconds) as bar:
        yield lambda _: bar.update()


def _say_words(words: str | None) -> None:
    if words is not None:  # A file's name may be of no encoding.
        say(words.encode(errors="backslashreplace").decode())


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ends at SIGTERM as at Ctrl-C, and says that nothing is lost."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print(GOES_ON, file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
