"""The end of a prediction job: its records, and what failed."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.prediction_kinds import counted
from mnv2_dense.commands.prediction_parts import (
    State,
    iterate_records,
    read_state,
    write_records,
)
from mnv2_dense.commands.whole_file import remove_parts, whole_file
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.predictor import Failure

SHOWN = 10
"""Failed pictures that are named at the end; all are in `FAILED`."""
FAILED = "failed.jsonl"
LOG_SECONDS = 30.0
"""Between two lines of a bar where no terminal shows it."""


class SomeFailedError(UserError):
    """Pictures or videos that were not found or could not be read; all others are done."""


def say(text: str) -> None:
    """Prints a line; not `session.say`, which imports Lightning, and that takes seconds."""
    print(text, flush=True)


def open_bar(total: int | None, unit: str) -> "tqdm[NoReturn]":
    """A progress bar on stderr, which writes a line now and then where no terminal shows it."""
    seconds = 0.5 if sys.stderr.isatty() else LOG_SECONDS
    return tqdm(total=total, unit=f" {unit}", mininterval=seconds, maxinterval=2 * seconds)


def finish_job(
    outputs: Outputs,
    given: Mapping[int, Path],
    own: Sequence[int],
    engine: str | None,
    missing: Sequence[Failure] = (),
    *,
    json_lines: bool = False,
) -> None:
    """Writes the records if the other shares have come to an end too, and names what failed.

    Args:
        outputs: Of the job.
        given: All its pictures, by their positions in its list.
        own: Positions of this share.
        engine: What ran the network.
        missing: Sources that gave no picture.
        json_lines: Whether the records are also written picture by picture, a line each.

    Raises:
        SomeFailedError: Pictures failed, or are missing.
    """
    state = read_state(outputs)
    others = given.keys() - set(own) - state.done.keys() - state.failed.keys()
    if others:
        are = "is" if len(others) == 1 else "are"
        say(
            f"this share is done; {counted(len(others), 'picture')} of other shares {are} not, and "
            f"the command that ends last writes {outputs.records}"
        )
    else:
        _write_records(outputs, given, state, engine)
        if json_lines:
            _write_lines(outputs, given, state)
    tried = {each: given[each] for each in own} if others else given
    _name_failed(outputs, tried, state, missing)


def _write_records(
    outputs: Outputs, given: Mapping[int, Path], state: State, engine: str | None
) -> None:
    lines = [state.done[each] for each in given if each in state.done]
    written = write_records(outputs.records, lines)
    ran = f", seen by {engine}" if engine else ""
    amount = f"{counted(written, 'record')} of {counted(len(lines), 'picture')}"
    say(f"wrote {outputs.records}: {amount}{ran}")
    for folder in (outputs.job, *outputs.folders):
        remove_parts(folder)


def _write_lines(outputs: Outputs, given: Mapping[int, Path], state: State) -> None:
    path = outputs.records.with_suffix(".jsonl")
    pictures = [each for each in given if each in state.done]
    with whole_file(path) as file:
        all_records = iterate_records([state.done[each] for each in pictures])
        for each, records in zip(pictures, all_records, strict=True):
            number = outputs.list.pictures[each].number
            line = {"file_name": str(given[each]), "image_id": number, "records": records}
            file.write(json.dumps(line) + "\n")
    say(f"wrote {path}: a line per picture")


def _name_failed(
    outputs: Outputs, tried: Mapping[int, Path], state: State, missing: Sequence[Failure]
) -> None:
    failures = [*_failures(tried, state), *missing]
    path = outputs.job / FAILED
    if not failures:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as file:
        for name, message in failures:
            file.write(json.dumps({"file_name": name, "error": message}) + "\n")
    listed = list_some([each.message for each in failures], path)
    total = len(tried) + len(missing)
    raise SomeFailedError(f"{len(failures)} of {counted(total, 'picture')} failed: {listed}")


def _failures(tried: Mapping[int, Path], state: State) -> Iterator[Failure]:
    for position, picture in tried.items():
        if position not in state.done:
            unknown = f"{picture}: changed while it was predicted"
            yield Failure(str(picture), state.failed.get(position, unknown))


def list_some(messages: Sequence[str], path: Path | None = None) -> str:
    """The first messages, in one line.

    Args:
        messages: Of what failed.
        path: Of a file that has all of them.
    """
    listed = "; ".join(messages[:SHOWN])
    more = len(messages) - SHOWN
    where = "" if path is None else f", all in {path}"
    return f"{listed}; and {more} more{where}" if more > 0 else listed
