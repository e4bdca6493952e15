import os
import platform
from collections.abc import Iterator
from importlib.metadata import version

import cv2
import pytest
import torch

from mnv2_dense.benchmarking import machine
from mnv2_dense.benchmarking.machine import describe_machine, use_threads


@pytest.fixture
def _threads() -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_hardware_system_and_versions_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LIBRARIES", ("torch", "no-such-library"))
    found = describe_machine()
    assert found.pop("load_before", 0.0) == pytest.approx(os.getloadavg()[0], abs=1)
    assert found.pop("processor")
    assert found == {
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


@pytest.mark.usefixtures("_threads")
def test_threads_are_those_of_torch_and_opencv() -> None:
    for count in (2, 1):
        use_threads(count)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (count, count)
