"""Who has started the processes of a run, and whether that fits its config."""

import os
from typing import NamedTuple

from mnv2_dense.builders.trainer import count_processes
from mnv2_dense.config.schema import AnyConfig
from mnv2_dense.errors import UserError

INTERACTIVE = ("bash", "interactive")
"""Names of SLURM jobs in which a person types; Lightning takes no notice of SLURM there."""


class Launcher(NamedTuple):
    """A program that has started processes of a run, this one among them.

    Attributes:
        name: What its users call it.
        devices: Processes on each machine.
        nodes: Machines.
    """

    name: str
    devices: int
    nodes: int


def find_launcher() -> Launcher | None:
    """The program that has started this process; None where the run starts its own."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        return Launcher("torchrun", devices, int(os.environ["WORLD_SIZE"]) // devices)
    tasks = os.environ.get("SLURM_NTASKS")
    if tasks is not None and os.environ.get("SLURM_JOB_NAME") not in INTERACTIVE:
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return Launcher("SLURM", int(tasks) // nodes, nodes)
    return None


def check_launcher(config: AnyConfig) -> None:
    """Refuses a number of processes that is not what was started, for which some would wait.

    Raises:
        UserError: The numbers differ, or several machines are wanted and nobody starts theirs.
    """
    nodes = config.training.num_nodes
    devices = count_processes(config) // nodes
    launcher = find_launcher()
    if launcher is None:
        if nodes > 1 and "RANK" not in os.environ:
            raise UserError(
                f"training.num_nodes={nodes}, but this process was started alone; start it with "
                "torchrun or srun on every machine, see docs/processes.md"
            )
        return
    if (launcher.devices, launcher.nodes) != (devices, nodes):
        raise UserError(
            f"{launcher.name} has started {launcher.devices} processes on each of {launcher.nodes} "
            f"machines, and the config asks for {devices} on each of {nodes}; set "
            f"training.devices={launcher.devices} training.num_nodes={launcher.nodes}, or start "
            "others"
        )
    if launcher.name == "SLURM" and devices > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UserError(f"SLURM: give the processes as --ntasks-per-node={devices}")
