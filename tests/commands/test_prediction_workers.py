import errno
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from mnv2_dense.commands.prediction_kinds import Source
from mnv2_dense.commands.prediction_parts import Part, read_state
from mnv2_dense.commands.prediction_workers import Task, predict_apart, predict_here
from mnv2_dense.errors import UserError
from tests.commands.shade_jobs import count_lines, draw, outputs_of
from tests.commands.shades import POISON, Shades


def claim(out: Path, *pictures: Path) -> list[Task]:
    outputs = outputs_of(out)
    return [
        Task(position, Source(path, *outputs.list.pictures[position][1:]))
        for position, path in outputs.claim(pictures).items()
    ]


def test_a_killed_process_ends_the_job(tmp_path: Path) -> None:
    """The picture that it was at is named; what was done is kept."""
    names = ("a", "b", "c", POISON, "d", "e")
    tasks = claim(tmp_path / "out", *(draw(tmp_path / f"{name}.png") for name in names))
    words: list[str | None] = []
    with pytest.raises(UserError) as caught:
        predict_apart(2, Shades, tasks, tmp_path / "out", words.append)
    assert str(caught.value).startswith("a process was killed by SIGKILL (the system does so ")
    assert f"at {tmp_path / POISON}.png; what is done is kept" in str(caught.value)
    assert 1 in read_state(outputs_of(tmp_path / "out")).done
    assert f"{tmp_path / 'b.png'}: 0 shades" in words


def refuse() -> NoReturn:
    raise UserError("no weights here")


def test_a_mistake_in_a_process_is_said_by_the_command(tmp_path: Path) -> None:
    tasks = claim(tmp_path / "out", draw(tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"^no weights here$"):
        predict_apart(1, refuse, tasks, tmp_path / "out", print)


class Unreadable:
    """Ends the process that it is sent to."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)

    def __call__(self) -> NoReturn:
        raise AssertionError


def test_a_process_that_ends_before_it_has_its_network_ends_the_job(tmp_path: Path) -> None:
    tasks = claim(tmp_path / "out", draw(tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"^a process ended with 3 at .*a\.png; what is done"):
        predict_apart(1, Unreadable(), tasks, tmp_path / "out", print)


def test_a_full_disk_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than failing for every picture that is left."""
    tasks = claim(tmp_path / "out", *(draw(tmp_path / f"{name}.png") for name in "abc"))

    def fail(*_: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Part, "add", fail)
    with pytest.raises(UserError, match=r"out: No space left on device; what is done is kept"):
        predict_here(Shades(), tasks, tmp_path / "out", print)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_processes_end_without_the_one_that_began_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    tasks = claim(out, *(draw(tmp_path / f"{number}.png") for number in range(200)))
    parent = os.fork()
    if parent == 0:
        predict_apart(1, partial(Shades, 0.1), tasks, out, lambda _: None)
        os._exit(0)
    while count_lines(out) == 0:
        time.sleep(0.01)
    workers = psutil.Process(parent).children(recursive=True)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert not psutil.wait_procs(workers, timeout=60)[1]
    assert count_lines(out) < 200
