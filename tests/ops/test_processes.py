from pathlib import Path

import torch
from torch import Tensor

from mnv2_dense.ops.processes import is_shared, mean_over_processes
from tests.ops.process_group import run_processes


def count(rank: int, processes: int) -> list[Tensor]:
    assert is_shared()
    own = torch.tensor(2.0 + rank)
    counts = [own, torch.tensor(rank), torch.tensor(0)]
    return [*(mean_over_processes(each, least=1) for each in counts), own]


def test_the_mean_is_everybodys_and_leaves_the_count_alone(tmp_path: Path) -> None:
    for rank, found in enumerate(run_processes(count, 2, tmp_path)):
        assert [value.item() for value in found] == [2.5, 0.5, 0.5, 2.0 + rank]


def test_alone_it_is_the_count() -> None:
    assert not is_shared()
    assert mean_over_processes(torch.tensor(3)).item() == 3
    assert mean_over_processes(torch.tensor(0), least=1).item() == 1
