"""Which samples a process loads, in which order, and what seeds each."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Sampler

from mnv2_dense.structures import SampleKey


class KeyedDataset(Protocol):
    """A sized data set whose samples are asked for by index and epoch."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, key: SampleKey) -> Any:
        """Loads the sample, augmented as `key.epoch` seeds it."""
        ...


def sample_seed(seed: int, key: SampleKey) -> int:
    """What decides a sample's augmentation: a pure function of run, epoch and sample.

    So the same seed gives the same samples whatever the number of loader processes.

    Args:
        seed: The run's.
        key: The sample and its epoch.
    """
    return derive_seed(seed, key.epoch, key.index)


def derive_seed(*place: int) -> int:
    """A 64-bit seed for a place in a run, unrelated to that of any other place."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which all processes together train on a data set's indices in an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(length)


class EpochSampler(Sampler[SampleKey]):
    """Yields the keys of one process's share of a data set.

    The order is a pure function of seed and epoch, the same in every process, so a resumed
    run sees what an uninterrupted one would have seen. Lightning calls `set_epoch` before it
    iterates.

    Args:
        length: Samples in the data set.
        seed: Seed of the shuffling.
        shuffle: Whether each epoch has its own order.
        rank: Number of this process.
        world_size: Number of processes.
        pad: True (training) yields equally many in every process, which gradient exchange
            needs: those of whole steps, the same whatever the processes and batches that a step's
            samples are divided among; where there is none, those of whole batches; where there is
            none, all, some of them repeated. False
            (validation) yields every sample exactly once over the processes, and keys of epoch 0
            whatever the epoch.
        batch_size: Samples per batch and process, where `pad`.
        accumulate: Batches per step, where `pad`.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        pad: bool,
        batch_size: int = 1,
        accumulate: int = 1,
    ) -> None:
        self.length = length
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.pad = pad
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.epoch = 0
        self._skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields."""
        self.epoch = epoch

    def skip_once(self, samples: int) -> None:
        """Leaves out the first samples of the next iteration only (resume within an epoch)."""
        self._skip = samples

    def order(self) -> np.ndarray:
        """Returns the indices of this process in the present epoch, before any skip."""
        indices = np.arange(self.length)
        if self.shuffle:
            indices = epoch_order(self.length, self.seed, self.epoch)
        if self.pad:
            indices = np.resize(indices, self.world_size * len(self))
        return indices[self.rank :: self.world_size]

    def __iter__(self) -> Iterator[SampleKey]:
        epoch = self.epoch if self.pad else 0
        # Fixed here, not at the first `next`: the epoch may be set again before that.
        order, skip, self._skip = self.order(), self._skip, 0
        return (SampleKey(int(index), epoch) for index in order[skip:])

    def __len__(self) -> int:
        """Number of keys of this process in a whole epoch."""
        for unit in (self.accumulate * self.batch_size, self.batch_size):
            whole = self.length // (self.world_size * unit)
            if self.pad and whole:
                return whole * unit
        extra = self.world_size - 1 if self.pad else self.world_size - 1 - self.rank
        return (self.length + extra) // self.world_size
