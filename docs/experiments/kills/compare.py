"""Whether two runs ended alike, bit for bit, whatever their clocks and folders were.

python docs/experiments/kills/compare.py RUN OTHER_RUN
"""

import csv
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

CLOCKS = ("train/images_per_second", "train/data_wait")
"""Columns of the log that say how fast the machine was."""

RESULTS = ("metrics.json", "detections.json", "confusion_matrix.csv")
"""What the final evaluation writes, as far as the task has it."""


def walk(value: Any, place: str, run: Path) -> Iterator[tuple[str, bytes]]:
    """Every value below, with its place; paths are taken as relative to the run."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from walk(value[key], f"{place}/{relative(str(key), run)}", run)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from walk(each, f"{place}/{index}", run)
    elif isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        kind = f"{plain.dtype} {tuple(plain.shape)} ".encode()
        yield place, kind + plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield place, relative(repr(value), run).encode()


def relative(text: str, run: Path) -> str:
    """A text without the run's folder and the folder of all runs, which are not alike.

    Nor is the checksum of a checkpoint's file, in which they stand.
    """
    plain = text.replace(str(run), "RUN").replace(str(run.parents[1]), "OUTPUT")
    return re.sub(r'("checkpoint_seal": )"\w+"', r'\1"SEAL"', plain)


def digest(pairs: Iterator[tuple[str, bytes]]) -> str:
    """One SHA-256 over places and values."""
    found = hashlib.sha256()
    for place, value in pairs:
        found.update(place.encode() + b"\0" + value + b"\0")
    return found.hexdigest()


def checkpoint_hashes(run: Path, name: str) -> dict[str, str]:
    """A hash per part of a checkpoint: weights, averages, optimiser, loops, callbacks ..."""
    content = torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True)
    return {f"{name} {key}": digest(walk(value, "", run)) for key, value in sorted(content.items())}


def log_rows(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without clocks and empty places."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: row[key] for key in sorted(row) if row[key] and key not in CLOCKS} for row in rows
    ]


def hashes(run: Path) -> dict[str, str]:
    """A hash per part of what a run leaves."""
    found = {**checkpoint_hashes(run, "best.ckpt"), **checkpoint_hashes(run, "last.ckpt")}
    found["metrics.csv"] = digest(walk(log_rows(run), "", run))
    for name in RESULTS:
        if (run / name).exists():
            text = relative((run / name).read_text(), run)
            found[name] = hashlib.sha256(text.encode()).hexdigest()
    return found


def lost_steps(run: Path, other: Path) -> list[str]:
    """Steps whose loss is not logged exactly once and equal in both runs."""

    def losses(folder: Path) -> list[tuple[str, str]]:
        return [(row["step"], row["train/loss"]) for row in log_rows(folder) if "train/loss" in row]

    ours, theirs = losses(run), losses(other)
    odd = set(ours) ^ set(theirs) | {each for each in ours if ours.count(each) > 1}
    return sorted({step for step, _ in odd}, key=int)


def compare(run: Path, other: Path) -> dict[str, tuple[str, str]]:
    """Parts that differ, with both hashes."""
    ours, theirs = hashes(run), hashes(other)
    keys = sorted({*ours, *theirs})
    return {
        key: (ours.get(key, "none"), theirs.get(key, "none"))
        for key in keys
        if ours.get(key) != theirs.get(key)
    }


if __name__ == "__main__":
    first, second = Path(sys.argv[1]), Path(sys.argv[2])
    different = compare(first, second)
    for part, value in hashes(first).items():
        print(f"{'DIFFERENT' if part in different else 'equal':9} {value[:16]} {part}")
    print("steps lost or doubled:", lost_steps(first, second) or 0)
    sys.exit(1 if different else 0)
