import subprocess
import sys
from collections.abc import Mapping

import pytest

from mnv2_dense.ops import allocation
from mnv2_dense.ops.allocation import (
    give_back_freed_memory,
    keep_freed_memory,
    keep_small_blocks,
)

glibc = pytest.mark.skipif(sys.platform != "linux", reason="the switches are glibc's")

LARGE = """
import numpy as np, psutil
from mnv2_dense.ops.allocation import *
resident = lambda: psutil.Process().memory_info().rss / 2**20
{before}
block = np.ones(25 * 2**20)
before = resident()
del block
kept = resident() - before
{after}
print(kept, resident() - before)
"""
"""200 MiB, freed; MiB of change, then and after something else."""
SMALL = """
import numpy as np, psutil
from mnv2_dense.ops.allocation import give_back_freed_memory
arrays = [np.ones(8192) for _ in range(4000)]
kept = arrays[::40]  # These pin the pages between them.
before = psutil.Process().memory_info().rss
del arrays
give_back_freed_memory()
print((psutil.Process().memory_info().rss - before) / 2**20)
"""


def run(text: str, environment: Mapping[str, str] | None = None) -> list[float]:
    """The numbers that a process prints which no other test has allocated in."""
    output = subprocess.run(
        [sys.executable, "-c", text], check=True, capture_output=True, text=True, env=environment
    )
    return [float(number) for number in output.stdout.split()]


@glibc
def test_a_freed_block_goes_back_by_itself() -> None:
    assert run(LARGE.format(before="", after=""))[0] < -190


@glibc
def test_a_freed_block_is_kept_until_it_is_given_back() -> None:
    kept, after = run(LARGE.format(before="keep_freed_memory()", after="give_back_freed_memory()"))
    assert kept > -10
    assert after < -190


@glibc
def test_loaders_keep_no_large_block() -> None:
    before = "keep_freed_memory(); keep_small_blocks()"
    assert run(LARGE.format(before=before, after=""))[0] < -190


@glibc
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_a_user_has_set_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(allocation, "_set_options", calls.append)
    monkeypatch.setattr(allocation, "_kept", False)
    monkeypatch.setenv(name, "1")
    keep_freed_memory()
    keep_small_blocks()
    assert calls == []


@glibc
def test_loaders_of_runs_on_gpus_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(allocation, "_set_options", calls.append)
    monkeypatch.setattr(allocation, "_kept", False)
    keep_small_blocks()
    assert calls == []
    keep_freed_memory()
    keep_small_blocks()
    keep_small_blocks()
    assert len(calls) == 2


@glibc
def test_what_lay_between_is_given_back() -> None:
    assert run(SMALL)[0] < -200


def test_other_systems_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    keep_freed_memory()
    give_back_freed_memory()
