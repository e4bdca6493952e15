from typing import Any

import pytest
import torch
from torch import nn

from mnv2_dense.training.optimizer import build_optimizer, parameter_groups

RECIPE: dict[str, Any] = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.01,
    "rmsprop_decay": 0.8,
    "betas": (0.9, 0.99),
    "epsilon": 1.0,
}


def names(module: nn.Module, group: dict[str, Any]) -> set[str]:
    by_id = {id(parameter): name for name, parameter in module.named_parameters()}
    return {by_id[id(parameter)] for parameter in group["params"]}


def test_norms_and_biases_are_not_decayed() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SyncBatchNorm(4), nn.GroupNorm(2, 4), nn.Flatten()
    )
    module.append(nn.Linear(4, 2))
    decayed, kept = parameter_groups(module, 0.01)
    assert names(module, decayed) == {"0.weight", "5.weight"}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.01, 0.0)
    everything = {name for name, _ in module.named_parameters()}
    assert names(module, kept) == everything - names(module, decayed)


def test_shared_parameter_is_listed_once_and_frozen_not_at_all() -> None:
    module = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    module[1].weight = module[0].weight
    module.append(nn.Linear(2, 2))
    module[2].requires_grad_(False)
    groups = parameter_groups(module, 0.01)
    assert [len(group["params"]) for group in groups] == [1]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": False}),
        ("rmsprop", torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.9, "alpha": 0.8, "eps": 1.0}),
        ("adamw", torch.optim.AdamW, {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1.0}),
    ],
)
def test_every_setting_reaches_the_optimiser(
    name: str, kind: type[torch.optim.Optimizer], expected: dict[str, Any]
) -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), name=name, **RECIPE)
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert {key: group[key] for key in expected} == expected


def test_nesterov_without_momentum_is_plain_sgd() -> None:
    recipe = RECIPE | {"nesterov": True, "momentum": 0.0}
    assert build_optimizer(nn.Linear(2, 2), name="sgd", **recipe).defaults["nesterov"] is False


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"adam.*sgd, rmsprop, adamw"):
        build_optimizer(nn.Linear(2, 2), name="adam", **RECIPE)
