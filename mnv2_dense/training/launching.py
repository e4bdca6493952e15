"""The processes of one machine: started by the first one, and ended with it."""

import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from typing_extensions import override

from mnv2_dense.ops.processes import is_shared
from mnv2_dense.training.failure import Failure, announce, ended_child, failure_behind, own_rank
from mnv2_dense.training.last import RunInterrupted

PARENT_VARIABLE = "MNV2_DENSE_PARENT"
"""Environment variable with the process id of rank 0, where that one started the others."""

CHILDREN: list[subprocess.Popen[bytes]] = []
"""The processes of rank 1 and on that this one has started."""

_PERIOD = 0.5
_GRACE = 10.0
"""Seconds that a process has to end by itself when another one has."""
_HEAD_START = 2.0
"""Seconds by which the first process is ahead in saying what all of them find."""


class Processes(DDPStrategy):
    """DDP whose processes end together, with the exit code of the one that failed first.

    Lightning kills all five seconds after a process fails, the first one too: neither its
    message nor its exit code would be left. And on GPUs, processes that wait for a first one
    that was killed would wait for half an hour. Under torchrun and SLURM, which start the
    processes and watch over them, it is DDPStrategy.
    """

    @override
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)

    @override
    def setup_environment(self) -> None:
        """Connects the processes; one that rank 0 started watches over that one first."""
        parent = os.environ.get(PARENT_VARIABLE)
        if parent is not None and int(parent) != os.getpid():
            threading.Thread(target=_watch_parent, args=[int(parent)], daemon=True).start()
        super().setup_environment()


class _Launcher(_SubprocessScriptLauncher):
    @override
    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any
    ) -> Any:
        """Starts the other processes, unless somebody has, and calls the function."""
        environment = self.cluster_environment
        environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not environment.creates_processes_externally:
            os.environ[PARENT_VARIABLE] = str(os.getpid())
            self._call_children_scripts()
            CHILDREN[:] = self.procs
            threading.Thread(target=_watch_children, daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        try:
            return function(*args, **kwargs)
        except RunInterrupted:
            CHILDREN.clear()  # They end too, as they should: nobody need watch.
            raise


def end_together(error: Exception, line: str | None) -> int:
    """Says why this process fails, or why it stops, and ends those that it has started.

    What one process alone has met is said by that one. All others end without a word, but
    for rank 0.

    Args:
        error: What ends this process.
        line: What to say of it; None where it is a bug, whose traceback is shown.

    Returns:
        The exit code of the first process that failed.
    """
    own = 1 if line is None else 2
    first = failure_behind(error, CHILDREN) or announce(own)
    if first is None:
        _say(error, line)
    elif own_rank() == 0 != first.rank:
        print(first, file=sys.stderr, flush=True)
    exit_code = own if first is None else first.exit_code
    _end_children(first)
    # On GPUs the way out may wait for an exchange that never ends.
    limit = threading.Timer(_GRACE, os._exit, [exit_code])
    limit.daemon = True
    limit.start()
    return exit_code


def _say(error: Exception, line: str | None) -> None:
    rank = own_rank()
    if not is_shared() and rank > 0:
        # Before they are connected all find the same, and whoever started them ends the rest
        # when the first one has said it.
        time.sleep(_HEAD_START)
    text = "".join(traceback.format_exception(error)).rstrip() if line is None else line
    if is_shared() or rank > 0:
        where = f"error in process {rank}:"
        text = f"{where}\n{text}" if line is None else text.replace("error:", where, 1)
    print(text, file=sys.stderr, flush=True)


def _end_children(first: Failure | None) -> None:
    """Kills the processes that this one has started, but for the one that failed by itself."""
    for rank, child in enumerate(CHILDREN, start=1):
        if first is None or rank != first.rank:
            child.kill()
    for child in CHILDREN:
        try:
            child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            child.kill()


def _watch_children() -> None:
    """Ends all when one has ended and this process does not notice, as in a GPU's exchange."""
    while (found := ended_child(CHILDREN)) is None:
        if all(child.returncode == 0 for child in CHILDREN):
            return
        time.sleep(_PERIOD)
    time.sleep(_GRACE)
    print(found, file=sys.stderr, flush=True)
    _end_children(found)
    os._exit(found.exit_code)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PERIOD)
    os._exit(1)
