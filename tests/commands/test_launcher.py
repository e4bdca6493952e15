from pathlib import Path

import pytest

from mnv2_dense.commands.launcher import check_launcher
from mnv2_dense.errors import UserError
from tests.commands.ranks import slurm, torchrun
from tests.commands.tiny import config_of


def check(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *overrides: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check_launcher(config_of(Path("data"), *overrides))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (torchrun(2)[1], r"torchrun has started 2 .* 1 machines, .* asks for 1 on .*devices=2"),
        (torchrun(4, nodes=2)[0], r"2 processes on each of 2 machines.* training\.num_nodes=2"),
        (slurm(3)[0], r"SLURM has started 3 processes"),
    ],
)
def test_other_processes_than_were_started(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        check(monkeypatch, variables, "training.devices=1")


def test_processes_as_they_were_started(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, {}, "training.devices=4")
    check(monkeypatch, slurm(2)[0] | {"SLURM_JOB_NAME": "bash"}, "training.devices=1")
    check(monkeypatch, slurm(3)[0], "training.devices=3")
    check(monkeypatch, torchrun(4, nodes=2)[3], "training.devices=2", "training.num_nodes=2")


def test_slurm_is_asked_for_tasks_per_node(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = slurm(2)[0]
    del variables["SLURM_NTASKS_PER_NODE"]
    with pytest.raises(UserError, match="--ntasks-per-node=2"):
        check(monkeypatch, variables, "training.devices=2")


def test_several_machines_of_which_only_one_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"num_nodes=2, but this process was started alone"):
        check(monkeypatch, {}, "training.num_nodes=2")
