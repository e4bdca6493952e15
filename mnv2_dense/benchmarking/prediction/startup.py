"""How long a fresh process takes to its first result."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mnv2_dense.errors import UserError

PROCESSES = 3
"""Of each engine; the median counts."""
_SCRIPT = """
import sys
from mnv2_dense import load
weights, engine, threads, picture = sys.argv[1:]
load(weights, engine or None, threads=int(threads)).predict(picture)
print("torch" in sys.modules, flush=True)
"""


class _Start(NamedTuple):
    """Seconds to the first result; what was printed then, if anything; the last error line."""

    seconds: float
    output: str
    problem: str


def measure_startup(
    weights: Path, engine: str | None, threads: int, picture: Path
) -> tuple[float, bool]:
    """Seconds from the start of Python to the first result, and whether torch was imported.

    Raises:
        UserError: The process failed.
    """
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT]
    command += [str(weights), engine or "", str(threads), str(picture)]
    starts = [_start(command) for _ in range(PROCESSES)]
    _, output, problem = starts[-1]
    if not all(start.output for start in starts):
        raise UserError(f"{weights}: a process that was to start with it failed: {problem}")
    return statistics.median(start.seconds for start in starts), output == "True"


def _start(command: Sequence[str]) -> _Start:
    """Runs a process; how long it takes to end does not count."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            try:
                output = process.stdout.readline().strip()
                seconds = time.perf_counter() - start
                process.wait()
            finally:
                process.kill()  # Where this one is stopped, as by Ctrl-C.
        errors.seek(0)
        return _Start(seconds, output, "".join(errors.readlines()[-1:]).strip())
