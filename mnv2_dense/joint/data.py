"""Batches of two data sets in turn."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from mnv2_dense.training.datamodule import DataModule, ResumableLoader
from mnv2_dense.training.sampling import EpochSampler


class TurnLoader:
    """Batches of several loaders, one of each in turn: first, second, first, second and so on.

    An epoch is one pass over the longest of them. A shorter one begins anew, shuffled again, as
    often as that takes, and goes on in the next epoch where this one left it, so that all its
    samples are seen equally often. Which batch comes when is a function of the epoch and of the
    batches before it: an interrupted epoch is gone on with as if it had not been.

    Args:
        loaders: Of training batches.
        batches_done: Batches of the present epoch that were trained on before it was resumed;
            asked at the first `next`.

    Attributes:
        sampler: Where Lightning tells the number of the epoch.
    """

    def __init__(
        self, loaders: Sequence[ResumableLoader], batches_done: Callable[[], int] = lambda: 0
    ) -> None:
        self.loaders = loaders
        self.batches_done = batches_done
        self.sampler = self
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Batches of an epoch, of all loaders together."""
        return len(self.loaders) * self._turns

    @property
    def _turns(self) -> int:
        """Batches of every loader in an epoch."""
        return max(len(loader) for loader in self.loaders)

    def __iter__(self) -> Iterator[Any]:
        done, turns = self.batches_done(), len(self.loaders)
        streams = [
            _stream(loader, self._epoch * self._turns + (done + turns - 1 - place) // turns)
            for place, loader in enumerate(self.loaders)
        ]
        for index in range(done, len(self)):
            yield next(streams[index % turns])

    def state_dict(self) -> dict[str, Any]:
        """Empty; having it tells Lightning that resuming within an epoch is reliable."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing: `batches_done` and the epoch hold all."""


def _stream(loader: ResumableLoader, first: int) -> Iterator[Any]:
    """A loader's batches without end, epoch after epoch of its own, from one of its run on."""
    assert isinstance(loader.sampler, EpochSampler)
    own_epoch, done = divmod(first, len(loader))
    for epoch in count(own_epoch):
        loader.sampler.set_epoch(epoch)
        skipped, done = done, 0
        loader.batches_done = lambda skipped=skipped: skipped
        yield from loader


class JointDataModule(LightningDataModule):
    """The loaders of two data modules: in turn in training, one after the other in validation.

    Args:
        detection: Of pictures with boxes.
        segmentation: Of pictures with label maps.
    """

    def __init__(self, detection: DataModule, segmentation: DataModule) -> None:
        super().__init__()
        self.detection = detection
        self.segmentation = segmentation

    def train_dataloader(self) -> TurnLoader:
        """Returns this process's training batches: detection, segmentation, and again."""
        loaders = [part.train_dataloader() for part in self._parts()]
        return TurnLoader(loaders, self.detection.batches_done)

    def val_dataloader(self) -> list[DataLoader[Any] | list[DataLoader[Any]]]:
        """Returns this process's validation batches: those with boxes, then those with maps."""
        return [part.val_dataloader() for part in self._parts()]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Distorts the colours that loader processes left to the device."""
        return self.detection.on_after_batch_transfer(batch, dataloader_idx)

    def _parts(self) -> tuple[DataModule, DataModule]:
        """Both, told of the trainer."""
        for part in (self.detection, self.segmentation):
            part.trainer = self.trainer
        return self.detection, self.segmentation
