from typing import Any

import pytest
import torch
from torch import nn

from mnv2_dense.benchmarking.training import parts
from mnv2_dense.benchmarking.training.parts import average_call, loss_call
from mnv2_dense.benchmarking.training.subjects import Subject
from mnv2_dense.training.averaging import ExponentialAverage, ema_callback


def test_the_loss_is_that_of_the_step(subject: Subject) -> None:
    task = subject.build()
    seen: list[Any] = []

    def keep(_module: nn.Module, _given: Any, terms: Any) -> None:
        seen.append(terms)

    task.loss.register_forward_hook(keep)
    torch.manual_seed(0)  # of the dropout
    call = loss_call(task, subject.batch)
    call()
    torch.manual_seed(0)
    expected = task.losses(subject.batch)  # pyrefly: ignore[bad-argument-type]
    torch.testing.assert_close(seen[0].total, expected.total)


def test_the_average_takes_in_a_step_with_every_call(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ema_callback(0.9)

    def find(_decay: float) -> ExponentialAverage:
        return made

    monkeypatch.setattr(parts, "ema_callback", find)
    task = subject.build()
    call = average_call(task)
    with torch.no_grad():
        for each in task.parameters():
            each.add_(1)
    call()
    average = made._average_model
    assert average is not None
    assert int(average.n_averaged) == 1
    call()
    assert int(average.n_averaged) == 2
    one, other = next(average.module.parameters()), next(task.parameters())
    assert torch.equal(one, other)
