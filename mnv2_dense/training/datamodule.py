"""Loaders of training and validation samples, for one process or many."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from mnv2_dense.ops.allocation import keep_small_blocks
from mnv2_dense.ops.distortion import distort_batch
from mnv2_dense.training.sampling import EpochSampler, KeyedDataset
from mnv2_dense.training.skipping import SkippingCollate, SkippingDataset


class ResumableLoader(DataLoader[Any]):
    """A training loader that continues an epoch where an interrupted run left it.

    Lightning counts the batches that a resumed epoch has already seen but would load the
    epoch's first batches again. The iteration starts at the first `next`, not at `iter`,
    because Lightning calls `iter` before it has restored epoch and batch count.
    """

    batches_done: Callable[[], int] = staticmethod(lambda: 0)

    def __iter__(self) -> Iterator[Any]:  # pyrefly: ignore
        assert isinstance(self.sampler, EpochSampler)
        assert self.batch_size is not None
        self.sampler.skip_once(self.batches_done() * self.batch_size)
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Empty; having it tells Lightning that resuming within an epoch is reliable."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing: `batches_done` and the sampler's seed and epoch hold all."""


def start_worker(_: int) -> None:
    """Prepares a loader process.

    One thread each, or workers compete for the cores. Memory as usual, not as a training process
    keeps it. The terminal sends Ctrl-C to every
    process of the group; workers ignore it, so that the training process can save its
    checkpoint and then stop them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_small_blocks()


def lost_loader(error: BaseException) -> str | None:
    """What PyTorch says of a loader process that was killed, if an error comes from that."""
    cause: BaseException | None = error
    while cause is not None and "DataLoader worker (pid" not in str(cause):
        cause = cause.__cause__ or cause.__context__
    return None if cause is None else str(cause)


class DataModule(LightningDataModule):
    """Training and validation loaders over data sets that take a `SampleKey`.

    The samplers divide the samples among processes themselves, so the Trainer must be built
    with `use_distributed_sampler=False`. A last incomplete step of all processes is left out of
    training (batch norm is poor on few images), unless it is the only one.

    Args:
        train_dataset: Training samples; None where nothing is trained.
        val_dataset: Validation samples; None where nothing is measured.
        collate: Makes one batch of a list of samples.
        batch_size: Training samples per batch and process.
        val_batch_size: Validation samples per batch and process.
        num_workers: Loader processes per training process; 0 loads in the process itself.
        seed: Seed of the training order.
        skip_bad: Whether samples that cannot be read are replaced in training and left out of
            validation, and told in the batches' field `bad_images`.
    """

    def __init__(
        self,
        *,
        train_dataset: KeyedDataset | None = None,
        val_dataset: KeyedDataset | None = None,
        collate: Callable[[list[Any]], Any],
        batch_size: int,
        val_batch_size: int,
        num_workers: int,
        seed: int,
        skip_bad: bool = False,
    ) -> None:
        super().__init__()
        self.train_dataset = train_dataset
        self.val_dataset = val_dataset
        self.collate = collate
        self.batch_size = batch_size
        self.val_batch_size = val_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.skip_bad = skip_bad

    def train_dataloader(self) -> ResumableLoader:
        """Returns this process's training batches, shuffled anew each epoch."""
        assert self.train_dataset is not None, "this data module was built without training data"
        sampler = self._sampler(self.train_dataset, shuffle=True, pad=True)
        loader = ResumableLoader(**self._arguments(self.train_dataset, sampler, self.batch_size))
        loader.batches_done = self.batches_done
        return loader

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Returns this process's validation batches in the data set's order, none padded."""
        if self.val_dataset is None:
            return []
        sampler = self._sampler(self.val_dataset, shuffle=False, pad=False)
        return DataLoader(**self._arguments(self.val_dataset, sampler, self.val_batch_size))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Distorts the colours that loader processes left to the device."""
        distortions = getattr(batch, "distortions", None)
        if distortions is None:
            return batch
        return batch._replace(images=distort_batch(batch.images, distortions), distortions=None)

    def batches_done(self) -> int:
        """Batches of the present epoch that were trained on before it was resumed."""
        if self.trainer is None or not self.trainer.training:
            return 0
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready

    def _sampler(self, dataset: KeyedDataset, *, shuffle: bool, pad: bool) -> EpochSampler:
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return EpochSampler(
            len(dataset),
            seed=self.seed,
            shuffle=shuffle,
            rank=rank,
            world_size=world_size,
            pad=pad,
            batch_size=self.batch_size,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
        )

    def _arguments(
        self, dataset: KeyedDataset, sampler: EpochSampler, batch_size: int
    ) -> dict[str, Any]:
        collate = self.collate
        if self.skip_bad:  # Training alone is padded.
            dataset = SkippingDataset(dataset, self.seed, replace=sampler.pad)
            collate = SkippingCollate(collate)
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return {
            "dataset": dataset,
            "sampler": sampler,
            "batch_size": batch_size,
            "collate_fn": collate,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": on_gpu,
            "worker_init_fn": start_worker,
            # Its own generator: the loader draws one number per epoch from it, and the
            # network's random numbers must not depend on how often data are loaded.
            "generator": torch.Generator().manual_seed(self.seed),
        }
