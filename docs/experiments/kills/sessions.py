"""One start of a training that is going to be killed: its process, its trace, where it stood."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import slow_train

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["slow_train"])

CONTEXTS = {
    "start": "start-up",
    "training": "training",
    "step": "training",
    "validation": "validation",
    "validated": "training",
    "evaluation": "final evaluation",
}
"""What a run is doing after an event."""


class Session:
    """A training process and what it has told so far.

    Args:
        folder: Where its trace and output go.
        number: Of this session.
        own: As a process of its own, or forked from one that has imported everything.
        pace: Bytes per second at which it writes.
        arguments: Of `tools/train.py`.
    """

    def __init__(
        self, folder: Path, number: int, *, own: bool, pace: float, arguments: Sequence[str]
    ) -> None:
        self.trace = folder / f"{number}.trace"
        self.output = folder / f"{number}.out"
        self.process: subprocess.Popen[bytes] | multiprocessing.process.BaseProcess
        self.began = time.monotonic()
        if own:
            command = [sys.executable, slow_train.__file__, self.trace, str(pace), *arguments]
            with self.output.open("wb") as out:
                self.process = subprocess.Popen(
                    command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
                )
        else:
            given = (self.output, self.trace, pace, list(arguments))
            self.process = FORKS.Process(target=slow_train.run_forked, args=given, daemon=False)
            self.process.start()

    @property
    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return self.process.exitcode

    def lines(self) -> list[tuple[float, str]]:
        """What it has told: second and event."""
        if not self.trace.exists():
            return []
        whole = self.trace.read_text().rpartition("\n")[0].splitlines()
        pairs = (line.partition(" ") for line in whole)
        return [(float(second), event) for second, _, event in pairs]

    def events(self) -> list[str]:
        """What it has told, without the times."""
        return [event for _, event in self.lines()]

    def times(self, word: str) -> list[float]:
        """The seconds of the events that begin with a word."""
        return [second for second, event in self.lines() if event.split()[0] == word]

    def wait_for(self, *words: str, limit: float = 900.0) -> str | None:
        """The first event that begins with one of the words, or None when the process ended."""
        while time.monotonic() - self.began < limit:
            over = self.code is not None
            found = (event for event in self.events() if event.split()[0] in words)
            if (event := next(found, None)) is not None or over:
                return event
            time.sleep(0.005)
        raise TimeoutError(f"{self.output}: none of {words} within {limit:g} s")

    def wait(self, limit: float = 900.0) -> int | None:
        """The exit code, or None when it still runs after the limit."""
        end = time.monotonic() + limit
        while self.code is None and time.monotonic() < end:
            time.sleep(0.01)
        return self.code

    def kill(self, who: str) -> str:
        """Kills the whole group, the training process alone, or one worker; says what it was."""
        assert self.process.pid is not None
        if who == "worker":
            workers = psutil.Process(self.process.pid).children() if self.code is None else []
            if workers:
                workers[-1].kill()
                return "worker"
            who = "group"
        try:
            kill = os.killpg if who == "group" else os.kill
            kill(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # in the moment before it has its own group
            if self.code is None:
                os.kill(self.process.pid, signal.SIGKILL)
        return who

    def resumed_at(self) -> int | None:
        """The step that it went on from, or None before its training began."""
        found = [event for event in self.events() if event.startswith("training ")]
        return int(found[0].split()[1]) if found else None

    def steps(self) -> list[int]:
        """The optimiser steps that it took."""
        return [int(event.split()[1]) for event in self.events() if event.startswith("step ")]

    def left_over(self) -> list[int]:
        """Processes of its group that still run."""
        return [each.pid for each in psutil.process_iter() if group_of(each) == self.process.pid]


def group_of(process: psutil.Process) -> int | None:
    """The process group, or None when the process has ended."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return os.getpgid(process.pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def place_of(events: Sequence[str]) -> str:
    """Where a process stood after its last event."""
    context, saving = "start-up", ""
    for event in events:
        word, _, rest = event.partition(" ")
        name = rest.split()[-1].removesuffix(".part").lstrip(".") if rest else ""
        if word in CONTEXTS:
            context, saving = CONTEXTS[word], ""
        elif word == "write":
            saving = f"{name} half written"
            in_place = not rest.endswith(".part")
        elif word == "written":
            saving = "" if in_place else "complete, not yet in its place"
        elif word == "rename" and name == "previous.ckpt":
            saving = "last.ckpt set aside, the new one not yet in its place"
        elif word == "rename" and rest != "done":
            saving = "being renamed into its place"
        elif event == "flush done" and saving == "being renamed into its place":
            saving = ""
    return f"{context}: {saving}" if saving else context
