"""How long a fresh process takes to its first result."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from mnv2_dense.errors import UserError

PROCESSES = 3
"""Of each engine; the median counts."""
_SECONDS = 300
_SCRIPT = """
import sys
from mnv2_dense import load
weights, engine, threads, picture = sys.argv[1:]
load(weights, engine or None, threads=int(threads)).predict(picture)
print("torch" in sys.modules, flush=True)
"""


def measure_startup(
    weights: Path, engine: str | None, threads: int, picture: Path
) -> tuple[float, bool]:
    """Seconds from the start of Python to the first result, and whether torch was imported.

    Raises:
        UserError: The process failed.
    """
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT]
    command += [str(weights), engine or "", str(threads), str(picture)]
    seconds: list[float] = []
    output = ""
    for _ in range(PROCESSES):
        start = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            output = process.stdout.readline()
            seconds.append(time.perf_counter() - start)
            if process.wait(_SECONDS) or not output:
                raise UserError(f"{weights}: the process that was to start with it failed")
    return statistics.median(seconds), output.strip() == "True"
