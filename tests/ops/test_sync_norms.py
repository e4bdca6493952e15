import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mnv2_dense.ops.sync_norms import SyncNorm, separate, synchronize
from tests.ops.process_group import run_processes

SHARES = (5, 2)
"""Images of each process."""


def images() -> Tensor:
    """A batch whose mean is far from zero, channels last as in training."""
    generator = torch.Generator().manual_seed(1)
    batch = torch.randn(sum(SHARES), 4, 3, 3, generator=generator) * 2 + 5
    return batch.contiguous(memory_format=torch.channels_last)


def make_norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4, momentum=0.3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, -1.5, 2.0]))
        norm.bias.copy_(torch.arange(4.0))
    return norm


def measure(norm: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """Output, gradients and statistics of two steps, and the output in evaluation."""
    batch = batch.clone().requires_grad_()
    norm(batch.detach() + 1)
    output = norm(batch)
    (output.square() * torch.linspace(0, 1, 9).view(3, 3)).sum().backward()
    assert batch.grad is not None
    found = {"output": output.detach(), "input.grad": batch.grad}
    found |= {f"{name}.grad": value.grad for name, value in norm.named_parameters()}
    found |= {name: value.clone() for name, value in norm.named_buffers()}
    return found | {"evaluated": norm.eval()(batch.detach()).detach()}


def measure_share(rank: int, _: int) -> dict[str, Tensor]:
    norm = synchronize(make_norm())
    return measure(norm, images().split(SHARES)[rank])


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    return run_processes(measure_share, len(SHARES), tmp_path_factory.mktemp("norms"))


@pytest.fixture(scope="module")
def whole() -> dict[str, Tensor]:
    return measure(make_norm(), images())


@pytest.mark.parametrize("name", ["output", "input.grad", "evaluated"])
def test_what_each_image_gets_is_that_of_the_whole_batch(
    name: str, shares: list[dict[str, Tensor]], whole: dict[str, Tensor]
) -> None:
    joined = torch.cat([share[name] for share in shares])
    assert torch.allclose(joined, whole[name], rtol=1e-5, atol=1e-5)
    assert joined.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["weight.grad", "bias.grad"])
def test_the_shares_of_the_gradients_add_up(
    name: str, shares: list[dict[str, Tensor]], whole: dict[str, Tensor]
) -> None:
    added = torch.stack([share[name] for share in shares]).sum(0)
    torch.testing.assert_close(added, whole[name], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "num_batches_tracked"])
def test_every_process_has_the_running_statistics_of_the_whole_batch(
    name: str, shares: list[dict[str, Tensor]], whole: dict[str, Tensor]
) -> None:
    assert torch.equal(shares[0][name], shares[1][name])
    torch.testing.assert_close(shares[0][name], whole[name])


def test_names_and_values_stay() -> None:
    norm = make_norm()
    state = copy.deepcopy(norm.state_dict())
    assert isinstance(synchronize(norm), SyncNorm)
    assert norm.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in norm.state_dict().items())
    assert type(separate(norm)) is nn.BatchNorm2d


def test_alone_it_is_batch_norm() -> None:
    alone = measure(synchronize(make_norm()), images())
    for name, value in measure(make_norm(), images()).items():
        assert torch.equal(alone[name], value), name


def measure_plain(rank: int, _: int) -> dict[str, Tensor]:
    """Half precision, no scale and shift, the mean of all batches' statistics."""
    norm = synchronize(nn.BatchNorm2d(4, momentum=None, affine=False))
    batch = images().split(SHARES)[rank].bfloat16()
    output = norm(norm(batch) * 3 + 1)
    found = {"output": output.float(), "running_mean": norm.get_buffer("running_mean")}
    with_activation = nn.BatchNorm2d(4)
    with_activation.add_module("act", nn.ReLU())  # as timm's
    return found | {"activated": synchronize(with_activation)(images().split(SHARES)[rank])}


def test_options_of_batch_norm(tmp_path: Path) -> None:
    shares = run_processes(measure_plain, len(SHARES), tmp_path)
    norm = nn.BatchNorm2d(4, momentum=None, affine=False)
    expected = norm(norm(images().bfloat16()) * 3 + 1).float()
    joined = torch.cat([share["output"] for share in shares])
    assert torch.allclose(joined, expected, atol=0.05)
    assert shares[0]["activated"].min() == 0
    assert torch.allclose(shares[0]["running_mean"], norm.get_buffer("running_mean"), atol=0.01)
