"""Bare torch processes that work together, for what needs no Lightning."""

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

Work = Callable[[int, int], Any]


def run_processes(work: Work, processes: int, folder: Path) -> list[Any]:
    """What `work(rank, processes)`, a function of a module, returns in each process."""
    arguments = (work, processes, free_port(), folder)
    multiprocessing.start_processes(_run, arguments, nprocs=processes, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(processes)]


def _run(rank: int, work: Work, processes: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=processes,
        timeout=timedelta(seconds=30),
    )
    torch.save(work(rank, processes), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
