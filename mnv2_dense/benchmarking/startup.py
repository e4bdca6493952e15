"""How soon commands answer that need no network: help, a config, a mistake in one."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnv2_dense.benchmarking.interleaving import Timing, measure
from mnv2_dense.benchmarking.ratios import Ratio
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.errors import UserError

PYTHON, TORCH = "Python that does nothing", "import torch"
ANSWER, IMPORT = 0.3, 0.1
"""Seconds that a command and `import mnv2_dense` may take."""


def measure_answers(config: Path, repetitions: int) -> Iterator[Section]:
    """Times fresh processes, interleaved.

    Args:
        config: A config file.
        repetitions: Processes of each kind.

    Raises:
        UserError: A command ended otherwise than it should.
    """
    train = ["-m", "mnv2_dense", "train"]
    asked = {
        "train --help": [*train, "--help"],
        "train CONFIG --print-config": [*train, str(config), "--print-config"],
        "train --print-schema": [*train, "--print-schema"],
        "train CONFIG with a mistake": [*train, str(config), "optimizer.learning_rat=1"],
        "import mnv2_dense": ["-c", "import mnv2_dense"],
    }
    beside = {PYTHON: ["-c", "pass"], TORCH: ["-c", "import torch"]}
    calls = {name: _process(name, each) for name, each in {**asked, **beside}.items()}
    timings = measure(calls, repetitions, warm=False)
    ratios = [_seconds(name, timings[name]) for name in asked]
    yield Section("Commands that need no network", timings, ratios, ["each in a fresh process"])


def _process(name: str, arguments: Sequence[str]) -> "Process":
    return Process([sys.executable, *arguments], 2 if "mistake" in name else 0)


class Process:
    """A call that starts a process and waits for its end.

    Args:
        command: Program and arguments.
        code: That it must end with.
    """

    def __init__(self, command: Sequence[str], code: int) -> None:
        self.command = command
        self.code = code

    def __call__(self) -> float:
        """Seconds that it took.

        Raises:
            UserError: It ended with another code.
        """
        start = time.perf_counter()
        ended = subprocess.run(self.command, capture_output=True, text=True, check=False)
        if ended.returncode != self.code:
            lines = (ended.stderr or "no message").strip().splitlines()
            raise UserError(
                f"{' '.join(self.command)} ended with code {ended.returncode}, not {self.code}: "
                f"{lines[-1]}"
            )
        return time.perf_counter() - start


def _seconds(name: str, timing: Timing) -> Ratio:
    target = IMPORT if name.startswith("import") else ANSWER
    return Ratio(f"seconds: {name}", timing.median, timing.best, target)
