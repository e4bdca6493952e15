"""Memory of a fresh process that does one thing."""

import json
import resource
import subprocess
import sys
from pathlib import Path

from mnv2_dense.benchmarking.evaluation.box_programs import PROGRAMS
from mnv2_dense.errors import UserError

_SCRIPT = """
import sys
from mnv2_dense.benchmarking.evaluation.peak_memory import show_peak
show_peak(*sys.argv[1:])
"""


def measure_peak(program: str, truth: Path, results: Path, *, loaded: bool) -> float:
    """Peak memory in gigabytes of a process in which a program scores two files.

    Args:
        program: A key of `PROGRAMS`.
        truth: COCO's instances file.
        results: COCO's results file.
        loaded: Whether both files are decoded as a whole first, and given as records.

    Raises:
        UserError: The process failed.
    """
    way = "loaded" if loaded else "files"
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT, program, truth, results, way]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        last = "".join(ran.stderr.splitlines()[-1:])
        raise UserError(f"{program}: a process that was to measure its memory failed: {last}")
    return float(ran.stdout) / 1e6


def show_peak(program: str, truth: str, results: str, way: str) -> None:
    """Scores two files and prints the peak of this process in kilobytes."""
    paths = Path(truth), Path(results)
    if way == "files":
        run = PROGRAMS[program].evaluate_files
        assert run is not None
        run(*paths)
    else:
        PROGRAMS[program].evaluate(*(json.loads(path.read_bytes()) for path in paths))
    print(_peak())


def _peak() -> int:
    """In kilobytes; not what the process inherited of its parent, where Linux tells them apart."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
