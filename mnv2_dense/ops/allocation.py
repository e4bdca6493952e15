"""What becomes of freed memory: kept for the next step, or given back to the system.

glibc asks the system for every large block and gives it back as soon as it is freed. A training
step on a CPU frees its activations, hundreds of MB, and asks for them again in the next step, when
the system must clear their pages first: some fifth of a step at 160x160, half and more of one at
1024x1024 (docs/experiments/growth). Other C libraries have no such switches; there nothing is done.
"""

import ctypes
import os
import sys
from typing import Any, Final

_kept = False
"""Whether this process, or the one that it was forked from, keeps freed memory."""

# Source: glibc's malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MMAP_MAX: Final = -4
_MMAP_MAX_OF_GLIBC: Final = 65536
_LARGE: Final = 32 * 2**20
"""Bytes from which glibc by itself never takes a block from its heap."""


def keep_freed_memory() -> None:
    """Keeps what is freed for what is asked for next, whatever its size.

    Someone who set glibc's own variables (`MALLOC_...`, `GLIBC_TUNABLES`) has decided already.
    """
    global _kept
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return
    _kept = True
    _set_options({_MMAP_MAX: 0, _TRIM_THRESHOLD: -1})


def keep_small_blocks() -> None:
    """Keeps what is freed below 32 MiB, as glibc comes to do, in a process that kept all before.

    For loaders, which are forked from a training process: a single huge picture must not stay.
    Where `keep_freed_memory` was not called, or did nothing, nothing is done.
    """
    global _kept
    if _kept:
        _kept = False
        _set_options(
            {_MMAP_MAX: _MMAP_MAX_OF_GLIBC, _MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: 2 * _LARGE}
        )


def give_back_freed_memory() -> None:
    """Gives the free pages of the heap back to the system, now."""
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def _set_options(options: dict[int, int]) -> None:
    if (set_option := _function("mallopt")) is not None:
        for name, value in options.items():
            set_option(name, value)


def _function(name: str) -> Any:
    """A function of glibc; None where the process has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
