"""`data.on_bad_image=skip`: samples that cannot be read are replaced or left out, and reported."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.sampling import KeyedDataset, epoch_order

MAX_TRIES = 100
"""Bad samples in a row after which the fault is not in single files: a lost disk, a wrong path."""


class Attempt(NamedTuple):
    """A sample, None if it is left out, and what was wrong with those tried before it."""

    sample: Any
    bad_images: tuple[str, ...]


class SkippingDataset:
    """A data set whose bad samples are replaced by others (training) or left out (evaluation).

    A replacement is the next good sample in the order of the epoch, of all processes. So it
    depends on seed, epoch and files alone: not on loader processes, nor on where a run resumed.

    Args:
        dataset: The samples; it raises UserError for a bad one.
        seed: Of the training order.
        replace: Whether bad samples are replaced.
    """

    def __init__(self, dataset: KeyedDataset, seed: int, *, replace: bool) -> None:
        self.dataset = dataset
        self.seed = seed
        self.replace = replace

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey) -> Attempt:
        """The sample, or what stands for it.

        Raises:
            UserError: `MAX_TRIES` samples in a row are bad, or all there are.
        """
        problems: list[str] = []
        for tried in self._candidates(key):
            try:
                return Attempt(self.dataset[tried], tuple(problems))
            except UserError as error:
                problems.append(str(error))
        if not self.replace:
            return Attempt(None, tuple(problems))
        raise UserError(
            f"{len(problems)} pictures, one after the other, cannot be used; is the data set "
            f"whole? {list_first(problems)}"
        )

    def _candidates(self, key: SampleKey) -> Iterator[SampleKey]:
        yield key
        if self.replace:
            order = epoch_order(len(self), self.seed, key.epoch).tolist()
            place = order.index(key.index) + 1
            others = [*order[place:], *order[: place - 1]]
            yield from (SampleKey(index, key.epoch) for index in others[: MAX_TRIES - 1])


class SkippingCollate:
    """Makes a batch of attempts; what was wrong goes along in its field `bad_images`.

    Args:
        collate: Makes a batch, a named tuple, of samples.
    """

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, attempts: Sequence[Attempt]) -> Any:
        """The batch of the samples that are not left out, which may be none."""
        batch = self.collate([each.sample for each in attempts if each.sample is not None])
        return batch._replace(bad_images=[bad for each in attempts for bad in each.bad_images])
