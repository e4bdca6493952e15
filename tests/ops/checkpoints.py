"""Checkpoint files to be refused."""

import contextlib
import io
import resource
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_archive import PICKLE
from mnv2_dense.ops.checkpoint_file import read_checkpoint

MAX_PEAK = 50 * 2**20
"""Bytes that a refusal may take; the files of these tests ask for 10**9 and more."""


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def pack(path: Path, pickled: bytes, *data: bytes, **options: Any) -> None:
    """An archive as torch's with any pickle and the bytes of its storages."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr(f"a/{PICKLE}", pickled)
        archive.writestr("a/version", "3")
        for key, numbers in enumerate(data):
            archive.writestr(f"a/data/{key}", numbers)


def torch_pickle(value: object) -> bytes:
    """What torch.save describes a value with."""
    target = io.BytesIO()
    torch.save(value, target)
    with zipfile.ZipFile(target) as archive:
        return archive.read(f"archive/{PICKLE}")


@contextlib.contextmanager
def little_memory() -> Any:
    """The block takes no more than `MAX_PEAK`, in Python and in all of the process."""
    tracemalloc.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_PEAK
    assert grown < MAX_PEAK
