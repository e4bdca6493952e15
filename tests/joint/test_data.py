from collections.abc import Sequence
from typing import Any, NamedTuple

from mnv2_dense.joint.data import JointDataModule, TurnLoader
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.datamodule import DataModule, ResumableLoader


class Named(NamedTuple):
    """A batch: its set, its own epochs, and its samples."""

    name: str
    epochs: set[int]
    samples: tuple[int, ...]


class Keys:
    """Samples that are their own keys."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: SampleKey) -> SampleKey:
        return key


def module(name: str, length: int, batch_size: int) -> DataModule:
    def collate(keys: Sequence[SampleKey]) -> Named:
        return Named(name, {key.epoch for key in keys}, tuple(key.index for key in keys))

    return DataModule(
        train_dataset=Keys(length),
        val_dataset=Keys(length),
        collate=collate,
        batch_size=batch_size,
        val_batch_size=batch_size,
        num_workers=0,
        seed=0,
    )


def loaders(*modules: DataModule) -> list[ResumableLoader]:
    return [each.train_dataloader() for each in modules]


LONG, SHORT = ("long", 10, 2), ("short", 6, 2)


def epoch_of(number: int, done: int = 0) -> list[Any]:
    loader = TurnLoader(loaders(module(*LONG), module(*SHORT)), lambda: done)
    loader.set_epoch(number)
    return list(loader)


def test_batches_come_in_turn_and_an_epoch_is_a_pass_over_the_longer_set() -> None:
    batches = epoch_of(0)
    assert [batch.name for batch in batches] == ["long", "short"] * 5
    assert sorted(sum((batch.samples for batch in batches[::2]), ())) == list(range(10))


def test_the_shorter_set_begins_anew_and_goes_on_in_the_next_epoch() -> None:
    short = [batch for number in range(3) for batch in epoch_of(number)[1::2]]
    assert [batch.epochs for batch in short] == [{index // 3} for index in range(15)]
    for first in range(0, 15, 3):
        own_epoch = sum((batch.samples for batch in short[first : first + 3]), ())
        assert sorted(own_epoch) == list(range(6))
    orders = {tuple(batch.samples for batch in short[first : first + 3]) for first in (0, 3, 6)}
    assert len(orders) == 3


def test_the_longer_set_is_shuffled_every_epoch() -> None:
    first, second = ([batch.samples for batch in epoch_of(number)[::2]] for number in (0, 1))
    assert first != second


def test_an_epoch_is_gone_on_with_where_it_was_left() -> None:
    whole = epoch_of(1)
    for done in range(len(whole) + 1):
        assert epoch_of(1, done) == whole[done:]


def test_the_place_is_asked_when_the_first_batch_is() -> None:
    done = 0
    loader = TurnLoader(loaders(module(*LONG), module(*SHORT)), lambda: done)
    batches = iter(loader)
    done = 3
    assert next(batches) == epoch_of(0)[3]


def test_one_loader_serves_epoch_after_epoch() -> None:
    loader = TurnLoader(loaders(module(*LONG), module(*SHORT)))
    for number in range(3):
        loader.sampler.set_epoch(number)
        assert list(loader) == epoch_of(number)
    assert len(loader) == 10


def test_a_data_module_has_both_sets_in_turn_and_both_to_measure() -> None:
    data = JointDataModule(module(*SHORT), module(*LONG))
    assert list(data.train_dataloader())[:2] == [epoch_of(0)[1], epoch_of(0)[0]]
    measured: list[Any] = list(data.val_dataloader())
    short, long = map(list, measured)
    assert [batch.name for batch in short] == ["short"] * 3
    assert [batch.samples for batch in long] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
