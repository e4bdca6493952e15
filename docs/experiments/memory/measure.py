"""Runs a training command and records the memory of all its processes each second.

python docs/experiments/memory/measure.py OUTPUT --out SAMPLES.csv -- python tools/train.py ...

OUTPUT is the command's training.output, whose newest metrics.csv says which epoch it is.
"""

import argparse
import csv
import subprocess
import time
from pathlib import Path

import psutil

FIELDS = ("Rss", "Pss", "Pss_Anon", "Pss_File", "Pss_Shmem")
"""Of /proc/PID/smaps_rollup, in KiB."""


def read_memory(process: psutil.Process) -> dict[str, int] | None:
    """The fields of one process, or None when it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return None
    found = {key: int(rest.split()[0]) for key, rest in (line.split(":") for line in lines)}
    return {name: found[name] for name in FIELDS} if found else None


def present_epoch(output: Path) -> int | None:
    """The epoch of the last row of the newest log, or None before there is one."""
    logs = sorted(output.glob("*/*/metrics.csv"))
    if not logs:
        return None
    with logs[-1].open(newline="") as file:
        epochs = [row["epoch"] for row in csv.DictReader(file) if row.get("epoch")]
    return int(float(epochs[-1])) if epochs else None


def sample(root: psutil.Process, began: float, output: Path) -> list[dict[str, object]]:
    """A row per process of the tree."""
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    place = {"seconds": round(time.monotonic() - began, 1), "epoch": present_epoch(output)}
    rows = []
    for process in processes:
        memory = read_memory(process)
        if memory is not None:
            rows.append({**place, "pid": process.pid, "main": process == root, **memory})
    return rows


def main() -> None:
    """Reads the command line, runs the command, and writes the samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    began = time.monotonic()
    with subprocess.Popen(options.command) as command, options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["seconds", "epoch", "pid", "main", *FIELDS])
        writer.writeheader()
        while command.poll() is None:
            writer.writerows(sample(psutil.Process(command.pid), began, options.output))
            file.flush()
            time.sleep(1)
    raise SystemExit(command.returncode)


if __name__ == "__main__":
    main()
