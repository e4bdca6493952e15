from dataclasses import replace

import pytest
from torch import nn

from mnv2_dense.benchmarking.interleaving import Timing
from mnv2_dense.benchmarking.training import sections
from mnv2_dense.benchmarking.training.sections import (
    AVERAGE,
    COMPILED,
    FIRST,
    LAST,
    LOSS,
    TORCHVISION,
    Wanted,
    measure_training,
    step_ratios,
)
from mnv2_dense.benchmarking.training.subjects import Subject
from tests.benchmarking.training.tiny import TINY

TIMES = {LAST: 2.0, FIRST: 2.5, LOSS: 0.06, AVERAGE: 0.02, TORCHVISION: 3.0, COMPILED: 1.0}
TIMINGS = {name: Timing((seconds,)) for name, seconds in TIMES.items()}


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("detection", [1.25, 0.03, 0.01, None, None]),
        ("segmentation", [1.2, None, 0.01, None, None]),
    ],
)
def test_a_step_beside_its_targets(task: str, targets: list[float | None]) -> None:
    ratios = step_ratios(TIMINGS, task)
    assert [each.value for each in ratios] == pytest.approx([1.25, 0.03, 0.01, 1.5, 0.5])
    assert [each.target for each in ratios] == targets
    assert ratios[0].direction == "at least"


def test_the_compiled_step_is_left_out_unless_it_is_asked_for() -> None:
    some = {name: each for name, each in TIMINGS.items() if name != COMPILED}
    assert len(step_ratios(some, "detection")) == 4


@pytest.mark.filterwarnings("ignore")
def test_each_task_has_its_step_and_its_run(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = subject.config.task
    monkeypatch.setattr("mnv2_dense.benchmarking.training.subjects.SETTINGS", TINY)
    step, around = measure_training(Wanted([task], 1))
    assert step.title.endswith("a training step of 2 pictures")
    assert set(step.timings) == {LAST, FIRST, TORCHVISION, LOSS, AVERAGE}
    assert len(step.notes) == 3
    assert around.ratios[0].target == 1.03


def test_a_compiled_step_is_timed(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def compile_it(network: nn.Module) -> nn.Module:
        compiled.append(network)
        return network

    monkeypatch.setattr("torch.compile", compile_it)
    section = sections._measure_step(subject, replace(Wanted(), repetitions=1, compiled=True))
    assert len(compiled) == 1
    assert COMPILED in section.timings
