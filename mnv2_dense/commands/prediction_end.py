"""The end of a prediction job: its records, and what failed."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.prediction_parts import (
    State,
    iterate_records,
    read_state,
    write_records,
)
from mnv2_dense.commands.whole_file import remove_parts, whole_file
from mnv2_dense.errors import UserError

SHOWN = 10
"""Failed pictures that are named at the end; all are in `FAILED`."""
FAILED = "failed.jsonl"
LOG_SECONDS = 30.0
"""Between two lines of a bar where no terminal shows it."""


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
    *,
    json_lines: bool,
) -> None:
    """Writes the records if the other shares have come to an end too, and names what failed.

    Args:
        outputs: Of the job.
        given: All its pictures, by their positions in its list.
        own: Positions of this share.
        engine: What ran the network.
        json_lines: Whether the records are also written picture by picture, a line each.

    Raises:
        UserError: Pictures failed.
    """
    state = read_state(outputs)
    others = given.keys() - set(own) - state.done.keys() - state.failed.keys()
    if others:
        say(
            f"this share is done; {len(others)} pictures of other shares are not, and the command "
            f"that ends last writes {outputs.records}"
        )
    else:
        _write_records(outputs, given, state, engine)
        if json_lines:
            _write_lines(outputs, given, state)
    counted = {each: given[each] for each in own} if others else given
    _name_failed(outputs, counted, state)


def _write_records(
    outputs: Outputs, given: Mapping[int, Path], state: State, engine: str | None
) -> None:
    lines = [state.done[each] for each in given if each in state.done]
    written = write_records(outputs.records, lines)
    ran = f", seen by {engine}" if engine else ""
    say(f"wrote {outputs.records}: {written} records of {len(given)} pictures{ran}")
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


def _name_failed(outputs: Outputs, counted: Mapping[int, Path], state: State) -> None:
    pictures = {each: path for each, path in counted.items() if each not in state.done}
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
        f"{len(messages)} of {len(counted)} pictures failed: " + "; ".join(messages[:SHOWN]) + more
    )
