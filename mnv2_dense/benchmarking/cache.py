"""Samples of a training set: from the original pictures, and from a cache of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from mnv2_dense.benchmarking.interleaving import measure
from mnv2_dense.benchmarking.loading.sets import training_set
from mnv2_dense.benchmarking.ratios import divide
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.builders import settle_classes
from mnv2_dense.builders.caches import Cache, Wanted, default_sizing, prepare_cache
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.config.schema import Config
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.datamodule import KeyedDataset

SAMPLES = 64
"""Of a set, in a call."""
TARGET = 2.0
QUALITY = 90
ORIGINALS = "originals"
LEFT = ", colours left to the device"
"""Behind the names of what a loader process makes of a run on a GPU."""


def measure_cache(
    configs: Sequence[Config], sizings: Sequence[Sizing], repetitions: int
) -> Iterator[Section]:
    """Times samples of each config's training set on one thread, augmentation included.

    Whatever the config and the machine say, colours are distorted by the loader, and once more, in
    rows of their own, left to the device: where the config distorts them at all.

    Args:
        configs: Whose data are copied to a folder that is removed afterwards.
        sizings: Of caches beside the one of the config's own size.
        repetitions: Of each call.

    Yields:
        A section for each config: how many times the samples per second of the originals a cache
        gives.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # As in a loader process.
    try:
        for config in configs:
            yield _measure(settle_classes(config), sizings, repetitions)
    finally:
        cv2.setNumThreads(threads)


def _measure(config: Config, sizings: Sequence[Sizing], repetitions: int) -> Section:
    own = default_sizing(config)
    wanted = [Wanted(each, QUALITY, ("train",)) for each in dict.fromkeys([own, *sizings])]
    with TemporaryDirectory(prefix="mnv2_dense-") as name:
        places = _colours(config)
        sets = _sets(ORIGINALS, config, places)
        notes = [f"{config.data.format} data, input {config.input.width} x {config.input.height}"]
        for number, each in enumerate(wanted):
            root = Path(name, str(number))
            cache = prepare_cache(config, root, each)
            sets |= _sets(str(each.sizing), cached_config(config, root, cache), places)
            notes.append(_describe(each, cache))
        timings = measure(
            {key: _Call(found) for key, found in sets.items()}, repetitions, warm=False
        )
    ratios = [
        divide(
            timings,
            ORIGINALS + end,
            f"{each.sizing}{end}",
            TARGET if each.sizing == own else None,
            name=f"samples per second, {each.sizing} / {ORIGINALS}{end}",
            direction="at least",
        )
        for end in places
        for each in wanted
    ]
    return Section(f"cache of {config.name}: {SAMPLES} samples", timings, ratios, notes)


def _colours(config: Config) -> dict[str, str]:
    """Where colours are distorted, by the ends of the rows' names."""
    return {"": "worker", LEFT: "device"} if config.augmentation.photometric else {"": "worker"}


def _sets(name: str, config: Config, places: Mapping[str, str]) -> dict[str, KeyedDataset]:
    return {f"{name}{end}": training_set(config, place) for end, place in places.items()}


def _describe(wanted: Wanted, cache: Cache) -> str:
    before, after = cache.bytes_before / 1e6, cache.bytes_after / 1e6
    return f"{wanted.sizing}, quality {wanted.quality}: {before:.1f} MB of pictures are {after:.1f}"


def cached_config(config: Config, root: Path, cache: Cache) -> Config:
    """The config as it trains from a cache."""
    keys = {**config.data.model_dump(), **cache.data, "root": str(root)}
    return config.model_copy(update={"data": type(config.data).model_validate(keys)})


class _Call:
    """Makes samples, the next ones in every call, as those of an epoch follow each other."""

    def __init__(self, samples: KeyedDataset) -> None:
        self._samples = samples
        self._next = 0

    def __call__(self) -> None:
        for number in range(self._next, self._next + SAMPLES):
            epoch, index = divmod(number, len(self._samples))
            self._samples[SampleKey(index, epoch)]
        self._next += SAMPLES
