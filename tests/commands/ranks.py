"""The processes of one command as torchrun or SLURM would start them, forked from a server.

So nothing is imported anew, which takes a process several seconds.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from tests.commands.faulty import install
from tests.commands.tiny import load_tool
from tests.ops.process_group import free_port

LIMIT = 300
"""Seconds; the processes need a few, but cores may be shared by many."""


class Ended(NamedTuple):
    """How a process ended: exit code (minus the signal that killed it) and both streams."""

    code: int | None
    out: str
    err: str


def torchrun(processes: int, *, nodes: int = 1) -> list[dict[str, str]]:
    """The variables that torchrun gives each process."""
    here = processes // nodes
    common = {
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(here),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    return [
        {**common, "RANK": str(r), "LOCAL_RANK": str(r % here), "GROUP_RANK": str(r // here)}
        for r in range(processes)
    ]


def slurm(processes: int) -> list[dict[str, str]]:
    """The variables that srun gives each process of a job on one machine."""
    common = {
        "SLURM_NTASKS": str(processes),
        "SLURM_NTASKS_PER_NODE": str(processes),
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "1234",
        "SLURM_JOB_NAME": "train",
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    return [{**common, "SLURM_PROCID": str(r), "SLURM_LOCALID": str(r)} for r in range(processes)]


def run_ranks(
    variables: Sequence[Mapping[str, str]], folder: Path, *arguments: object, fault: str = ""
) -> list[Ended]:
    """Runs `tools/train.py` in as many processes; a fault is as `faulty.py` takes it."""
    # Not from this process: its OpenMP threads would be missing in a copy of it, which crashes.
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload([__name__])
    folder.mkdir(parents=True, exist_ok=True)
    texts = [(folder / f"{rank}.out", folder / f"{rank}.err") for rank in range(len(variables))]
    processes = [
        fork.Process(target=_run, args=(rank, own, text, list(map(str, arguments)), fault))
        for rank, (own, text) in enumerate(zip(variables, texts, strict=True))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT)
    for process in processes:
        process.kill()
    return [
        Ended(process.exitcode, out.read_text(), err.read_text())
        for process, (out, err) in zip(processes, texts, strict=True)
    ]


def _run(
    rank: int,
    variables: Mapping[str, str],
    texts: tuple[Path, Path],
    arguments: Sequence[str],
    fault: str,
) -> None:
    os.environ.update(variables)
    # Lightning reads it when it is imported.
    rank_zero_only.rank = rank  # pyrefly: ignore[missing-attribute]
    for text, stream, number in zip(texts, ("stdout", "stderr"), (1, 2), strict=True):
        file = text.open("w", buffering=1)
        os.dup2(file.fileno(), number)
        setattr(sys, stream, file)
    if fault:
        install(*fault.split(","))
    sys.exit(load_tool("train").main(arguments))
