import json
from pathlib import Path

import pytest

from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.prediction_end import (
    FAILED,
    SHOWN,
    SomeFailedError,
    finish_job,
    list_some,
)
from mnv2_dense.commands.prediction_parts import failed_line
from mnv2_dense.prediction.predictor import Failure
from tests.commands.part_lines import NAMES, line_of, make_outputs, note
from tests.commands.tiny import read_json

MISSING = Failure("d.jpg", "d.jpg: no such file or folder")


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return make_outputs(tmp_path)


def finish(outputs: Outputs, *missing: Failure, own: str = NAMES, json_lines: bool = False) -> None:
    """The end of a command that did the pictures in `own`."""
    given = {each: Path(f"{name}.jpg") for each, name in enumerate(NAMES)}
    positions = [NAMES.index(name) for name in own]
    finish_job(outputs, given, positions, "an engine", missing, json_lines=json_lines)


def test_records_are_written_in_the_order_of_the_pictures(
    outputs: Outputs, capsys: pytest.CaptureFixture[str]
) -> None:
    note(outputs, line_of(outputs, 2, {"id": 2}))
    note(outputs, line_of(outputs, 1), line_of(outputs, 0, {"id": 0}, {"id": 1}))
    finish(outputs)
    assert [record["id"] for record in read_json(outputs.records)] == [0, 1, 2]
    words = f"wrote {outputs.records}: 3 records of 3 pictures, seen by an engine\n"
    assert capsys.readouterr().out == words
    assert not (outputs.job / FAILED).exists()


def test_pictures_that_failed_are_named_and_not_counted(
    outputs: Outputs, capsys: pytest.CaptureFixture[str]
) -> None:
    note(outputs, line_of(outputs, 0, {"id": 0}), failed_line(1, "b.jpg: broken"))
    with pytest.raises(SomeFailedError) as caught:
        finish(outputs, MISSING, json_lines=True)
    changed = "c.jpg: changed while it was predicted"
    assert str(caught.value) == f"3 of 4 pictures failed: b.jpg: broken; {changed}; {MISSING[1]}"
    assert "1 record of 1 picture, seen by an engine\n" in capsys.readouterr().out
    lines = [json.loads(line) for line in (outputs.job / FAILED).read_text().splitlines()]
    assert [line["file_name"] for line in lines] == ["b.jpg", "c.jpg", "d.jpg"]
    assert [line["error"] for line in lines] == ["b.jpg: broken", changed, MISSING.message]
    (line,) = outputs.records.with_suffix(".jsonl").read_text().splitlines()
    assert json.loads(line) == {"file_name": "a.jpg", "image_id": 1, "records": [{"id": 0}]}


def test_what_failed_before_is_forgotten_when_nothing_fails(outputs: Outputs) -> None:
    note(outputs, line_of(outputs, 0), line_of(outputs, 1))
    with pytest.raises(SomeFailedError):
        finish(outputs)
    assert (outputs.job / FAILED).is_file()
    note(outputs, line_of(outputs, 2))
    finish(outputs)
    assert not (outputs.job / FAILED).exists()


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (1, "; 2 pictures of other shares are not, and the command that ends last"),
        (2, "; 1 picture of other shares is not, and the command that ends last"),
    ],
)
def test_a_share_that_is_not_the_last_writes_no_records(
    outputs: Outputs, capsys: pytest.CaptureFixture[str], done: int, words: str
) -> None:
    note(outputs, *(line_of(outputs, position) for position in range(done)))
    finish(outputs, own="a")
    assert words in capsys.readouterr().out
    assert not outputs.records.exists()


def test_a_share_names_its_own_failures(outputs: Outputs) -> None:
    note(outputs, failed_line(0, "a.jpg: broken"), failed_line(1, "b.jpg: broken"))
    with pytest.raises(SomeFailedError, match=r"^1 of 1 picture failed: b.jpg: broken$"):
        finish(outputs, own="b")


@pytest.mark.parametrize("more", [0, 3])
def test_of_many_messages_the_first_are_listed(more: int) -> None:
    messages = [str(number) for number in range(SHOWN + more)]
    first = "; ".join(messages[:SHOWN])
    assert list_some(messages) == first + ("; and 3 more" if more else "")
    ending = "; and 3 more, all in failed" if more else ""
    assert list_some(messages, Path("failed")) == first + ending
