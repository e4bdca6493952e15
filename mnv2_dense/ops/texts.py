"""Texts by the thousand in shared memory, and lists of them in messages."""

import os
import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch

LISTED = 5
"""How many offenders a message names before it says only how many more there are."""


class SharedTexts:
    """Many short texts, such as file names, in two flat tensors in shared memory.

    Forked and spawned loader processes all read the same memory, which a list of Python strings
    would have copied page by page. Texts keep any byte a file name may hold.

    Attributes:
        characters: uint8, the bytes of all texts, one after the other.
        offsets: int64 [N + 1]; text i has the bytes from entry i up to entry i + 1.
    """

    def __init__(self, texts: Sequence[str | bytes]) -> None:
        encoded = [os.fsencode(text) for text in texts]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        characters = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
        self.characters = torch.from_numpy(characters).share_memory_()
        self.offsets = torch.from_numpy(ends).share_memory_()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        start, stop = self.offsets[index : index + 2].tolist()
        return os.fsdecode(self.characters[start:stop].numpy().tobytes())


def list_first(offenders: Sequence[object], count: int | None = None) -> str:
    """The first `LISTED` offenders, and how many more there are.

    Args:
        offenders: All of them, or at least the first.
        count: How many there are in all, by default as many as are given.
    """
    count = len(offenders) if count is None else count
    shown = ", ".join(str(offender) for offender in offenders[:LISTED])
    return f"{shown} and {count - LISTED} more" if count > LISTED else shown


def list_ranges(names: Iterable[str]) -> str:
    """All names, those that only count on as one range: `stem, block_0 to block_16, last`.

    Args:
        names: Each once; a range stands where its first name does.
    """
    runs: list[list[str]] = []
    awaited: dict[str, list[str]] = {}
    for name in names:
        run = awaited.pop(name, None) or []
        if not run:
            runs.append(run)
        run.append(name)
        awaited[_next_name(name)] = run
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def _next_name(name: str) -> str:
    """The name with its last number one higher."""
    return re.sub(r"\d+(?=\D*$)", lambda number: str(int(number[0]) + 1), name)
