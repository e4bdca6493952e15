"""One of several processes fails: which one says so, and how the others know.

The first process that fails writes its rank and exit code into the store by which the processes
found each other. The others lose the connection in their next exchange, look there, and end
with the same code.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import distributed

from mnv2_dense.ops.processes import is_shared

_KEY = "mnv2_dense/failure"
_RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
_WAIT = 3.0
"""Seconds in which a process that has failed can say so; a killed one never does."""
_CONNECTION = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
"""Words of the errors that PyTorch raises where another process has gone; none has a type."""


class Failure(NamedTuple):
    """The first process that failed, and the exit code for all; rank None where none said so."""

    rank: int | None
    exit_code: int
    how: str = "failed"

    def __str__(self) -> str:
        who = "another process" if self.rank is None else f"process {self.rank}"
        return f"stopped because {who} {self.how}"


def own_rank() -> int:
    """Number of this process among all of the run."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    return next((int(os.environ[name]) for name in _RANKS if name in os.environ), 0)


def announce(exit_code: int) -> Failure | None:
    """Tells the other processes that this one has failed.

    Returns:
        None if this one is the first, or alone; otherwise the failure that was first.
    """
    if not is_shared():
        return None
    own = f"{own_rank()} {exit_code}"
    try:
        first = _store().compare_set(_KEY, "", own).decode()
    except RuntimeError:  # Rank 0 keeps the store: it has ended, and has said why.
        return Failure(0, exit_code)
    return None if first == own else _parse(first)


def failure_behind(
    error: BaseException, children: Sequence[subprocess.Popen[bytes]] = ()
) -> Failure | None:
    """What another process did, if an exception is but the lost connection to it.

    Args:
        error: Raised in this process.
        children: The processes of rank 1 and on, where this one started them.
    """
    if not is_shared() or not any(map(_is_lost_connection, _chain(error))):
        return None
    end = time.monotonic() + _WAIT
    while time.monotonic() < end:
        if found := _announced() or ended_child(children):
            return found
        time.sleep(0.1)
    return Failure(None, 1, "was lost: it was killed, or the network failed")


def ended_child(children: Sequence[subprocess.Popen[bytes]]) -> Failure | None:
    """The first of the processes that has ended, and not as it should."""
    for rank, child in enumerate(children, start=1):
        if code := child.poll():
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return Failure(rank, max(code, 1), how)
    return None


def _announced() -> Failure | None:
    try:
        store = _store()
        return _parse(store.get(_KEY).decode()) if store.check([_KEY]) else None
    except RuntimeError:
        return Failure(0, 1)


def _parse(text: str) -> Failure:
    rank, exit_code = map(int, text.split())
    return Failure(rank, exit_code)


def _store() -> distributed.Store:
    return distributed.distributed_c10d._get_default_store()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_lost_connection(error: BaseException) -> bool:
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CONNECTION)
