import pytest
import torch
from torch.optim import SGD

from mnv2_dense.benchmarking.training.peers import torchvision_step
from mnv2_dense.benchmarking.training.subjects import Subject


def test_a_step_of_torchvision_learns(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its optimiser has a gradient for every one of its weights."""
    seen: list[tuple[int, int]] = []

    def step(self: SGD) -> None:
        parameters = [each for group in self.param_groups for each in group["params"]]
        seen.append((len(parameters), sum(each.grad is not None for each in parameters)))

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    torchvision_step(subject.batch)()
    ((all_of_them, learnt),) = seen
    assert learnt == all_of_them > 100
