from itertools import product
from typing import Any

import pytest

from mnv2_dense.structures import SampleKey
from mnv2_dense.training.sampling import EpochSampler, sample_seed

SHARES = list(product([1, 2, 3, 5], [1, 2, 7, 12]))


def shares(
    length: int, world_size: int, *, epoch: int = 0, shuffle: bool = True, **options: Any
) -> list[list[SampleKey]]:
    samplers = [
        EpochSampler(length, seed=1, shuffle=shuffle, rank=rank, world_size=world_size, **options)
        for rank in range(world_size)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
        assert len(sampler) == len(list(sampler))
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize("length", [12, 13, 23, 24, 31])
@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 6), (3, 4), (4, 3), (12, 1)])
def test_steps_and_their_samples_are_those_of_one_process(
    world_size: int, batch_size: int, length: int
) -> None:
    whole = shares(length, 1, epoch=2, pad=True, batch_size=12)[0]
    assert len(whole) == length // 12 * 12
    parts = shares(length, world_size, epoch=2, pad=True, batch_size=batch_size)
    for part in parts:
        assert len(part) == length // 12 * batch_size
    for step in range(length // 12):
        own = slice(step * batch_size, (step + 1) * batch_size)
        together = [key for part in parts for key in part[own]]
        assert sorted(together) == sorted(whole[step * 12 : (step + 1) * 12])


@pytest.mark.parametrize(("world_size", "length"), SHARES)
def test_less_than_one_step_is_filled_and_leaves_none_out(world_size: int, length: int) -> None:
    parts = shares(length, world_size, pad=True, batch_size=13)
    assert len({len(part) for part in parts}) == 1
    assert {key.index for part in parts for key in part} == set(range(length))
    assert sum(map(len, parts)) < length + world_size


@pytest.mark.parametrize(("world_size", "length"), SHARES)
def test_validation_yields_every_index_exactly_once_in_epoch_0(
    world_size: int, length: int
) -> None:
    parts = shares(length, world_size, pad=False, shuffle=False, epoch=4)
    keys = sorted(key for part in parts for key in part)
    assert keys == [SampleKey(index, 0) for index in range(length)]


def test_order_depends_on_seed_and_epoch_only() -> None:
    def order(seed: int, epoch: int) -> list[SampleKey]:
        sampler = EpochSampler(50, seed=seed, shuffle=True, pad=True)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    first = [key.index for key in order(0, 1)]
    assert first != [key.index for key in order(0, 2)]
    assert first != [key.index for key in order(1, 1)]
    # Neighbouring seeds and epochs must not meet: seed 0 epoch 1 is not seed 1 epoch 0.
    assert first != [key.index for key in order(1, 0)]
    assert {key.epoch for key in order(0, 1)} == {1}


def test_the_processes_share_one_order() -> None:
    whole = shares(10, 1, pad=True, epoch=3)[0]
    assert shares(10, 2, pad=True, epoch=3) == [whole[0::2], whole[1::2]]


def test_skip_leaves_out_the_first_samples_once() -> None:
    sampler = EpochSampler(5, seed=0, shuffle=False, pad=True)
    sampler.skip_once(3)
    assert [key.index for key in sampler] == [3, 4]
    assert [key.index for key in sampler] == [0, 1, 2, 3, 4]


def test_sample_seeds_are_repeatable_and_all_different() -> None:
    keys = [(seed, SampleKey(i, epoch)) for seed in (0, 1, 7) for i in range(9) for epoch in (0, 1)]
    seeds = [sample_seed(seed, key) for seed, key in keys]
    assert [sample_seed(seed, key) for seed, key in keys] == seeds
    assert len(set(seeds)) == len(keys)
    assert all(0 <= seed < 2**64 for seed in seeds)
    # Index, epoch and seed do not trade places.
    assert len({sample_seed(1, SampleKey(2, 3)), sample_seed(1, SampleKey(3, 2))}) == 2
    assert len({sample_seed(1, SampleKey(2, 3)), sample_seed(2, SampleKey(1, 3))}) == 2


def test_sample_seeds_stay_what_they_were() -> None:
    # A run resumed under a newer release must go on with the same augmentation.
    assert sample_seed(0, SampleKey(0, 0)) == 15793235383387715774
    assert sample_seed(3, SampleKey(index=5, epoch=2)) == 16915429354210642500


@pytest.mark.parametrize(
    ("length", "batch_size", "accumulate", "samples"),
    [(22, 4, 1, 20), (22, 2, 2, 20), (22, 1, 4, 20), (10, 4, 4, 8), (3, 4, 4, 3)],
)
def test_whole_steps_of_accumulated_batches(
    length: int, batch_size: int, accumulate: int, samples: int
) -> None:
    """A step of fewer batches would have a smaller gradient; tiny sets have none but such."""
    sampler = EpochSampler(
        length, seed=0, shuffle=True, pad=True, batch_size=batch_size, accumulate=accumulate
    )
    assert len(sampler) == len(list(sampler)) == samples
