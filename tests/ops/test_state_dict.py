import pytest
import torch
from torch import nn

from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import list_differences, list_non_finite, load_state_dict


def test_differences_are_listed_shapes_first() -> None:
    ours = {"a": torch.ones(2, 3), "b": torch.ones(()), "c": torch.ones(1)}
    theirs = {"d": torch.ones(1), "a": torch.ones(3, 2), "b": torch.ones(())}
    assert list_differences(ours, theirs) == [
        "a is 3x2 in the file and 2x3 in the network",
        "c is not in the file",
        "d is not in the network",
    ]
    assert list_differences(ours, ours) == []


def test_loading_copies_every_entry() -> None:
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    load_state_dict(target, source.state_dict(), "somewhere")
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())


def test_a_long_list_of_differences_is_cut() -> None:
    module = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
    with pytest.raises(UserError, match=r"^x\.ckpt: .*0\.weight is not in the file;.* 3 more$"):
        load_state_dict(module, {}, "x.ckpt")
    with pytest.raises(UserError, match=r"network$"):
        load_state_dict(nn.Identity(), {"a": torch.ones(1)}, "x.ckpt")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_values_that_are_no_numbers_are_refused_before_any_is_copied(
    bad: float, dtype: torch.dtype
) -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    state["1.running_var"] = torch.tensor([1.0, bad], dtype=dtype)
    with pytest.raises(UserError, match=r"^x\.ckpt: .*NaN or infinite values.*: 1\.running_var;"):
        load_state_dict(module, state, "x.ckpt")
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert list_non_finite(before) == []


def test_a_long_list_of_bad_values_is_cut() -> None:
    module = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
    state = {name: tensor * float("nan") for name, tensor in module.state_dict().items()}
    with pytest.raises(UserError, match=r"0\.weight; 0\.bias; .*; and 3 more; use"):
        load_state_dict(module, state, "x.ckpt")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_numbers_of_another_kind_are_refused(dtype: torch.dtype) -> None:
    state = {"weight": torch.ones(1, 1, dtype=dtype), "bias": torch.ones(1)}
    with pytest.raises(UserError, match=rf"weight is {dtype} in the file and 1x1 in the network"):
        load_state_dict(nn.Linear(1, 1), state, "x.safetensors")
