import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.commands import prediction_parts
from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.prediction_parts import (
    Line,
    Part,
    failed_line,
    read_state,
    write_records,
)
from tests.commands.part_lines import line_of, make_outputs, note


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return make_outputs(tmp_path)


def test_done_wins_over_failed_whatever_the_order(outputs: Outputs) -> None:
    for first in (True, False):
        lines = [line_of(outputs, 0), failed_line(0, "broken")]
        note(outputs, *(lines if first else lines[::-1]), failed_line(1, "missing"))
    state = read_state(outputs)
    assert state.done.keys() == {0}
    assert state.failed == {1: "missing"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\0\0\0\n",
        b"7\n",
        b'{"picture": 0',
        b'{"picture": "0"}\n',
        b'{"picture": 0}\n',
        b'{"picture": 99, "failed": "by another list"}\n',
        b'{"picture": 0, "stamp": 3, "sizes": 7, "records": {}}\n',
        b'{"picture": -1, "failed": "no position"}\n',
        b"[" * 5000 + b"\n",
    ],
)
def test_what_is_no_line_is_passed_over(outputs: Outputs, data: bytes) -> None:
    with Part(outputs.job) as part:
        part.add(line_of(outputs, 1))
    part.path.write_bytes(data + part.path.read_bytes() if data.endswith(b"\n") else data)
    state = read_state(outputs)
    assert not state.failed
    assert state.done.keys() == ({1} if data.endswith(b"\n") else set())


def test_no_part_without_a_picture(outputs: Outputs) -> None:
    with Part(outputs.job):
        pass
    assert not list(outputs.job.glob("part-*"))


RECORDS: list[list[dict[str, Any]]] = [
    [],
    [{"score": 0.1, "nested": {"ü\udcff": [1, 2.5e-7]}}, {"b": None}],
    [{"c": 3}],
    [],
]


@pytest.mark.parametrize("opened", [1, 64])
def test_records_are_one_list(tmp_path: Path, opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be written in one go, from parts of which few are open at once."""
    monkeypatch.setattr(prediction_parts, "OPEN_PARTS", opened)
    lines = []
    for number, records in enumerate(RECORDS):
        part = tmp_path / str(number % 3)
        offset = part.stat().st_size if part.exists() else 0
        with part.open("a") as file:
            file.write(json.dumps({"records": records}) + "\n")
        lines.append(Line(part, offset))
    for count in range(len(RECORDS) + 1):
        together = [record for records in RECORDS[:count] for record in records]
        assert write_records(tmp_path / "all.json", lines[:count]) == len(together)
        assert (tmp_path / "all.json").read_text() == json.dumps(together, indent=1) + "\n"
