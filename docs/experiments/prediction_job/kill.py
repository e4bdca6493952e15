"""Predicts a folder undisturbed and under kills, and compares: `kill.py PICTURES WEIGHTS FOLDER`.

The undisturbed job is run by one process and by two, and both are timed. The same job is then
killed with SIGKILL at random moments, now as a whole and now one of its workers, and gone on with
by the same command until it ends.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

TOOL = Path(__file__).parents[3] / "tools" / "predict.py"
JOB = ".mnv2_dense"


def main() -> None:
    """Reads the command line, runs everything, and prints the figures."""
    parser = argparse.ArgumentParser(description="Kill a prediction job, and compare.")
    for name in ("pictures", "weights", "folder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=6.0, help="longest time to a kill")
    options, changes = parser.parse_known_args()
    command = [sys.executable, str(TOOL), *changes, str(options.pictures)]
    command += ["--weights", str(options.weights)]
    figures = {}
    for processes in (1, 2):
        out = options.folder / f"undisturbed{processes}"
        figures[out.name] = predict(command, out, processes)
    killed = options.folder / "killed"
    figures["killed"] = kill(command, killed, options.kills, options.seconds)
    whole = contents(options.folder / "undisturbed1")
    figures["equal"] = {
        name: contents(options.folder / name) == whole for name in ("undisturbed2", "killed")
    }
    figures["files"] = len(whole)
    text = json.dumps(figures, indent=1)
    print(text)
    (options.folder / "figures.json").write_text(text + "\n")


def predict(command: list[str], out: Path, processes: int) -> dict[str, float]:
    """Runs a job to its end, and times it from the first picture to the last."""
    start = time.monotonic()
    with start_job(command, out, processes) as job:
        wait_for(out, 1, job)
        first = time.monotonic()
        assert job.wait() == 0
    seconds = time.monotonic() - first
    return {
        "pictures": lines(out),
        "pictures_per_second": round((lines(out) - 1) / seconds, 2),
        "seconds": round(time.monotonic() - start, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def kill(command: list[str], out: Path, kills: int, seconds: float) -> dict[str, object]:
    """Runs a job that is killed again and again, by one process and by two in turn."""
    chance, found = random.Random(0), []
    for number in range(kills):
        before = lines(out)
        with start_job(command, out, 1 + number % 2) as job:
            wait_for(out, before + 1, job)
            time.sleep(chance.uniform(0, seconds))
            assert job.poll() is None, "the job ended before it was killed: give more pictures"
            workers = psutil.Process(job.pid).children(recursive=True)
            whole = number % 4 != 3  # else one of its two workers
            os.kill(job.pid if whole else chance.choice(workers[-2:]).pid, signal.SIGKILL)
            code = job.wait()
            assert code == (-signal.SIGKILL if whole else 2), code
        psutil.wait_procs(workers, timeout=60)
        assert not list(out.glob("*.json")), "records of a job that is not done"
        found.append(lines(out))
        print(f"kill {number + 1}: {found[-1]} pictures done", file=sys.stderr, flush=True)
    with start_job(command, out, 2) as job:
        assert job.wait() == 0
    twice = lines(out) - len(list_of(out))
    return {"kills": kills, "done_at_kills": found, "predicted_twice": twice}


def start_job(command: list[str], out: Path, processes: int) -> subprocess.Popen[bytes]:
    """Begins a job whose words go to a file beside its results."""
    arguments = [*command, "--out", str(out), "--processes", str(processes)]
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(arguments, stdout=log, stderr=log)


def wait_for(out: Path, count: int, job: subprocess.Popen[bytes]) -> None:
    """Returns when so many pictures are done."""
    while lines(out) < count:
        assert job.poll() is None, f"ended early, see {out}.log"
        time.sleep(0.02)


def lines(out: Path) -> int:
    """Pictures that were predicted so far, those predicted twice counted twice."""
    return sum(part.read_bytes().count(b"\n") for part in (out / JOB).glob("part-*.jsonl"))


def list_of(out: Path) -> list[str]:
    """The pictures of the job."""
    return [
        line
        for path in (out / JOB).glob("pictures-*.jsonl")
        for line in path.read_text().splitlines()
    ]


def contents(out: Path) -> dict[str, str]:
    """Hashes of all that a user sees, hidden leftovers included."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and JOB not in path.relative_to(out).parts[:-1]
    }


if __name__ == "__main__":
    main()
