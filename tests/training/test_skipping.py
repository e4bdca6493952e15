from typing import Any, NamedTuple

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.datamodule import DataModule
from mnv2_dense.training.sampling import EpochSampler, epoch_order
from mnv2_dense.training.skipping import MAX_TRIES, SkippingDataset


class Batch(NamedTuple):
    keys: list[SampleKey]
    bad_images: list[str] = []  # noqa: RUF012  the field of a named tuple


class Spoilt:
    """Sample `i` of epoch `e` is its key; some cannot be read."""

    def __init__(self, length: int, bad: set[int]) -> None:
        self.length = length
        self.bad = bad
        self.tried: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: SampleKey) -> SampleKey:
        self.tried.append(key.index)
        if key.index in self.bad:
            raise UserError(f"{key.index}.jpg: damaged")
        return key


def data_of(bad: set[int], length: int = 12, workers: int = 0) -> DataModule:
    return DataModule(
        train_dataset=Spoilt(length, bad),
        val_dataset=Spoilt(length, bad),
        collate=Batch,
        batch_size=4,
        val_batch_size=4,
        num_workers=workers,
        seed=3,
        skip_bad=True,
    )


def trained(data: DataModule, epoch: int = 0, skip: int = 0) -> list[Any]:
    loader = data.train_dataloader()
    assert isinstance(loader.sampler, EpochSampler)
    loader.sampler.set_epoch(epoch)
    if skip:
        loader.batches_done = lambda: skip
    return list(loader)


def test_a_bad_sample_gives_way_to_the_next_good_one_of_the_epoch() -> None:
    order = epoch_order(12, 3, 1).tolist()
    bad = {order[2], order[3], order[11]}
    batches = trained(data_of(bad), epoch=1)
    expected = [*order[:2], order[4], order[4], *order[4:11], order[0]]
    assert [key for batch in batches for key in batch.keys] == [(i, 1) for i in expected]
    assert [len(batch.keys) for batch in batches] == [4, 4, 4]
    assert [batch.bad_images for batch in batches] == [
        [f"{order[2]}.jpg: damaged", f"{order[3]}.jpg: damaged", f"{order[3]}.jpg: damaged"],
        [],
        [f"{order[11]}.jpg: damaged"],
    ]


def test_workers_and_resuming_change_nothing() -> None:
    bad = {1, 5, 6, 9}
    whole = trained(data_of(bad), epoch=2)
    assert trained(data_of(bad, workers=2), epoch=2) == whole
    assert trained(data_of(bad), epoch=2, skip=1) == whole[1:]


def test_validation_leaves_out_and_keeps_the_batches() -> None:
    batches: list[Any] = list(data_of({1, 4, 5, 6, 7}).val_dataloader())
    assert [[key.index for key in batch.keys] for batch in batches] == [
        [0, 2, 3],
        [],
        [8, 9, 10, 11],
    ]
    assert [len(batch.bad_images) for batch in batches] == [1, 4, 0]


def test_without_skipping_the_first_bad_one_stops() -> None:
    data = data_of({1})
    data.skip_bad = False
    with pytest.raises(UserError, match=r"^1\.jpg: damaged$"):
        list(data.val_dataloader())


def test_all_samples_bad() -> None:
    with pytest.raises(UserError, match=r"^3 pictures, one after the other.*\.jpg: damaged, "):
        trained(data_of({0, 1, 2}, length=3))


def test_tries_are_bounded() -> None:
    dataset = Spoilt(1000, set(range(1000)))
    with pytest.raises(UserError, match=f"^{MAX_TRIES} pictures.* and {MAX_TRIES - 5} more$"):
        SkippingDataset(dataset, seed=0, replace=True)[SampleKey(7, 0)]
    assert len(dataset.tried) == len(set(dataset.tried)) == MAX_TRIES
