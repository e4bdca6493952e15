"""How far float32 moves the gradient of a network with batch norms: one process, and two.

For some draws of weights and images, the relative distance of the gradient from that in float64: of
one process with PyTorch's norms, of the same with the images in reverse, and of two processes with
synchronised norms. A line for one norm alone comes first.
"""

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from mnv2_dense.builders import build_network
from mnv2_dense.config.loader import load_config
from mnv2_dense.ops.sync_norms import synchronize
from tests.ops.process_group import run_processes

DRAWS = 8
IMAGES, SIZE = 24, 96
CONFIG = Path(__file__).parents[3] / "configs" / "ssdlite_shapes.yaml"


def network_of(seed: int) -> nn.Module:
    """The demo's detector, freshly drawn."""
    torch.manual_seed(seed)
    return build_network(load_config(CONFIG, []), num_classes=10).train()


def images_of(seed: int) -> Tensor:
    """Random pictures [B, 3, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(IMAGES, 3, SIZE, SIZE, generator=generator)


def gradient(network: nn.Module, images: Tensor) -> Tensor:
    """All gradients of a smooth function of the outputs, in float64."""
    outputs = network(images)
    logits = torch.cat([outputs.class_logits, outputs.box_deltas], dim=2)
    (logits.square().sum() / IMAGES).backward()
    found = [p.grad.flatten().double() for p in network.parameters() if p.grad is not None]
    return torch.cat(found)


def share(rank: int, processes: int) -> list[Tensor]:
    """The sum over the processes, of every draw."""
    found = []
    for seed in range(DRAWS):
        own = gradient(synchronize(network_of(seed)), images_of(seed)[rank::processes])
        distributed.all_reduce(own)
        found.append(own)
    return found


def norm_input(seed: int) -> tuple[nn.BatchNorm2d, Tensor, Tensor]:
    """A norm, values as far from zero as they spread, and a gradient that comes back."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(IMAGES, 64, 6, 6, generator=generator) + 1
    return nn.BatchNorm2d(64), values, torch.randn(values.shape, generator=generator)


def norm_gradient(norm: nn.Module, values: Tensor, back: Tensor) -> Tensor:
    """Gradient of the values that a norm gets."""
    values = values.detach().requires_grad_()
    norm(values).backward(back)
    assert values.grad is not None
    return values.grad.double()


def norm_share(rank: int, processes: int) -> Tensor:
    """The same of a synchronised norm's share."""
    norm, values, back = norm_input(0)
    return norm_gradient(synchronize(norm), values[rank::processes], back[rank::processes])


def apart(one: Tensor, exact: Tensor) -> str:
    """Relative distance."""
    return f"{((one - exact).norm() / exact.norm()).item():.1e}"


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    print("| draw | one process | images reversed | two processes |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        both = run_processes(norm_share, 2, Path(folder))
        together = run_processes(share, 2, Path(folder))[0]
    norm, values, back = norm_input(0)
    exact = norm_gradient(copy.deepcopy(norm).double(), values.double(), back.double())
    joined = torch.stack(both, dim=1).flatten(0, 1)
    alone = norm_gradient(norm, values, back)
    print(f"| one norm | {apart(alone, exact)} | | {apart(joined, exact)} |")
    for seed in range(DRAWS):
        images = images_of(seed)
        exact = gradient(network_of(seed).double(), images.double())
        one = gradient(network_of(seed), images)
        reverse = gradient(network_of(seed), images.flip(0))
        found = (one, reverse, together[seed])
        print(f"| {seed} | {' | '.join(apart(each, exact) for each in found)} |")


if __name__ == "__main__":
    main()
