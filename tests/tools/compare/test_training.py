from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from mnv2_dense.errors import UserError
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.datamodule import DataModule
from tools.compare.training import Keys, Recipe, plan_batches, train


class Echo:
    """Samples that are their own keys."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: SampleKey) -> SampleKey:
        return key


def test_peers_see_the_products_pictures_in_its_order() -> None:
    data = DataModule(
        train_dataset=Echo(), collate=list, batch_size=4, val_batch_size=4, num_workers=0, seed=7
    )
    loader = data.train_dataloader()
    product: list[list[SampleKey]] = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)  # pyrefly: ignore[missing-attribute]
        product += list(loader)
    assert list(plan_batches(10, batch=4, steps=5, seed=7)) == product[:5]
    assert len({key.index for batch in product[:2] for key in batch}) == 8


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_as_many_batches_as_steps(steps: int) -> None:
    planned = list(islice(plan_batches(10, batch=4, steps=steps, seed=0), 9))
    assert [len(keys) for keys in planned] == [4] * steps


def halve(step: int) -> float:
    return 0.5**step


def recipe_of(network: nn.Linear, loss: Tensor, clip: float | None = None) -> Recipe:
    def scaled(_: Keys) -> Tensor:
        return loss * network.weight.sum()

    return Recipe(scaled, SGD(network.parameters(), lr=1.0), halve, clip)


@pytest.mark.parametrize(("clip", "moved"), [(None, 4 * 1.75), (1.0, 1.75)])
def test_three_steps_with_their_rates(clip: float | None, moved: float) -> None:
    network = nn.Linear(1, 1, bias=False)
    before = network.weight.item()
    batches = plan_batches(4, batch=2, steps=3, seed=0)
    train(network, recipe_of(network, torch.tensor(4.0), clip), batches, seed=0)
    assert before - network.weight.item() == pytest.approx(moved, abs=1e-4)


def test_the_same_seed_draws_the_same_numbers() -> None:
    def drawn(seed: int) -> list[float]:
        network = nn.Linear(1, 1)
        numbers: list[float] = []

        def loss(_: Keys) -> Tensor:
            numbers.append(torch.rand(()).item())
            return network.weight.sum()

        recipe = Recipe(loss, SGD(network.parameters(), lr=1.0), halve)
        train(network, recipe, plan_batches(4, batch=2, steps=2, seed=0), seed)
        return numbers

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    network = nn.Linear(1, 1)
    recipe = recipe_of(network, torch.tensor(torch.nan))
    with pytest.raises(UserError, match="step 0: the loss is nan"):
        train(network, recipe, plan_batches(4, batch=2, steps=2, seed=0), seed=0)
