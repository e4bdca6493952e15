import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mnv2_dense.training.optimizer import build_optimizer, parameter_groups, set_options
from mnv2_dense.training.schedule import learning_rate_factor

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


def two_parts() -> nn.Module:
    """A network as ours are, and a part whose name only begins like the backbone's."""
    return nn.ModuleDict(
        {
            name: nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
            for name in ("backbone", "backbones", "head")
        }
    )


def test_the_head_may_have_its_own_rate() -> None:
    module = two_parts()
    optimizer = build_optimizer(module, name="sgd", head_rate_factor=10.0, **RECIPE)
    found = {
        (round(group["lr"], 6), group["weight_decay"]): names(module, group)
        for group in optimizer.param_groups
    }
    others = ("backbones", "head")
    assert found == {
        (0.1, 0.01): {"backbone.0.weight"},
        (0.1, 0.0): {"backbone.0.bias", "backbone.1.weight", "backbone.1.bias"},
        (1.0, 0.01): {f"{part}.0.weight" for part in others},
        (1.0, 0.0): {f"{part}.{n}" for part in others for n in ("0.bias", "1.weight", "1.bias")},
    }


def test_without_a_factor_the_groups_are_those_of_the_decay() -> None:
    assert len(build_optimizer(two_parts(), name="sgd", **RECIPE).param_groups) == 2


def test_the_schedule_keeps_the_ratio_of_the_rates() -> None:
    total = 5
    poly = partial(
        learning_rate_factor,
        total_steps=total,
        name="poly",
        warmup_steps=2,
        warmup_factor=0.1,
        final_factor=0.0,
        power=0.9,
        milestones=(),
        gamma=1.0,
    )
    optimizer = build_optimizer(two_parts(), name="sgd", head_rate_factor=10.0, **RECIPE)
    schedule = LambdaLR(optimizer, poly)
    rates = []
    for _ in range(total):
        slow, _, fast, _ = (group["lr"] for group in optimizer.param_groups)
        assert fast == pytest.approx(10 * slow)
        rates.append(slow)
        optimizer.step()
        schedule.step()
    assert len(set(rates)) == total
    assert rates == pytest.approx([0.1 * poly(step) for step in range(total)])


def scheduled(module: nn.Module, name: str, rate: float, **options: Any) -> tuple[Any, LambdaLR]:
    recipe = RECIPE | {"name": name, "learning_rate": rate} | options
    optimizer = build_optimizer(module, **recipe)
    return optimizer, LambdaLR(optimizer, lambda step: 1 / (1 + step))


def step(optimizer: Any, schedule: LambdaLR) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    schedule.step()


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adamw"])
def test_new_options_take_the_place_of_restored_ones(name: str) -> None:
    module = nn.Linear(2, 2)
    before, schedule = scheduled(module, name, 0.1)
    step(before, schedule)
    states = before.state_dict(), schedule.state_dict()
    after, schedule = scheduled(module, name, 0.3, weight_decay=0.2)
    after.load_state_dict(states[0])
    schedule.load_state_dict(states[1])
    momentum = copy.deepcopy(after.state_dict()["state"])
    set_options(after, schedule, scheduled(module, name, 0.3, weight_decay=0.2)[0])
    assert [group["lr"] for group in after.param_groups] == [0.15, 0.15]
    assert [group["weight_decay"] for group in after.param_groups] == [0.2, 0.0]
    assert str(after.state_dict()["state"]) == str(momentum)
    step(after, schedule)
    assert [group["lr"] for group in after.param_groups] == [0.3 / 3, 0.3 / 3]


def test_the_same_options_change_nothing() -> None:
    module = nn.Linear(2, 2)
    optimizer, schedule = scheduled(module, "sgd", 0.1)
    step(optimizer, schedule)
    before = str(optimizer.state_dict()), str(schedule.state_dict())
    set_options(optimizer, schedule, scheduled(module, "sgd", 0.1)[0])
    assert (str(optimizer.state_dict()), str(schedule.state_dict())) == before
