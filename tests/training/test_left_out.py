import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer, RMSprop

from mnv2_dense.training.left_out import leave_out, nothing_to_learn
from tests.training.tiny import TinyModule, bare_trainer

OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda net: SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
    "rmsprop": lambda net: RMSprop(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
    "adamw": lambda net: AdamW(net.parameters(), lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_left_out_changes_neither_weights_nor_buffers_nor_the_optimizer(
    tmp_path: Path, name: str
) -> None:
    module, trainer = TinyModule(), bare_trainer(tmp_path)
    trainer.strategy.connect(module)
    optimizer = OPTIMIZERS[name](module)
    module.network(torch.randn(4, 3, 2, 2)).sum().backward()
    optimizer.step()
    before = copy.deepcopy((module.state_dict(), optimizer.state_dict()))
    buffers = [each.clone() for each in module.buffers()]
    module.network(torch.full((4, 3, 2, 2), torch.nan))
    optimizer.zero_grad()
    nothing_to_learn(module).backward()
    assert all(each.grad is not None and not each.grad.any() for each in module.parameters())
    leave_out(trainer, optimizer, buffers)
    optimizer.step()
    after = (module.state_dict(), optimizer.state_dict())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
