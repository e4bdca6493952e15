"""A sheet of samples as the network gets them, with their ground truth drawn on them."""

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from mnv2_dense.builders import Index, build_data, settle_classes
from mnv2_dense.builders.opening import stored_config
from mnv2_dense.commands.column import Column
from mnv2_dense.commands.detection import DetectionColumn
from mnv2_dense.commands.outputs import free_name
from mnv2_dense.commands.segmentation import SegmentationColumn
from mnv2_dense.commands.session import ensure_data, quiet_lightning, read_data, say
from mnv2_dense.config.loader import CONFIG_SUFFIXES, load_config
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.drawing import Picture, add_title, grid
from mnv2_dense.errors import UserError
from mnv2_dense.ops.texts import list_first
from mnv2_dense.structures import SampleKey
from mnv2_dense.training.sampling import EpochSampler
from mnv2_dense.training.skipping import SkippingDataset


def show_data(
    source: Path,
    overrides: Sequence[str],
    *,
    split: str = "train",
    count: int = 16,
    epoch: int = 1,
    image: str | None = None,
    out: Path | None = None,
) -> None:
    """Writes the first samples of an epoch, or one picture in several epochs, as one PNG.

    The samples come from the data set that training reads, augmented by the same seed and at the
    size of the network's input. Only the normalisation is left out, which moves nothing: from
    each channel `input.mean` is subtracted, and the rest divided by `input.std`.

    Args:
        source: A config, or a checkpoint whose config is taken.
        overrides: Changes to the config, of the form `key.path=value`.
        split: `train`, or `val` as evaluation sees it, in its own order and not augmented.
        count: Samples to show; with `image`, epochs.
        epoch: The (first) epoch, counted from 1 as training does.
        image: Show this picture alone, as it is stored and then in each epoch: its id in the
            data set, its file's name or its path.
        out: The file; None for `NAME-SPLIT.png` here, or the next free name.

    Raises:
        UserError: `out` exists or cannot be written, the data cannot be read, or there is no
            such image.
    """
    quiet_lightning()
    read = load_config if source.suffix in CONFIG_SUFFIXES else stored_config
    config = read(source, overrides)
    out = out or free_name(Path(f"{config.name}-{split}.png"))
    _check_free(out)
    ensure_data(config)
    config = settle_classes(config)
    index = read_data(config, split)
    tiles = _Tiles(config, index, split)
    if image is None:
        keys = first_keys(config, len(index), split, epoch, count)
        pictures = [tile for key in keys if (tile := tiles.draw_usable(key)) is not None]
        if not pictures:
            raise UserError(f"none of the first {len(keys)} pictures of {split} can be used")
    else:
        position = find_image(index, image)
        epochs = range(epoch - 1, epoch - 1 + count) if split == "train" else range(1)
        pictures = [tiles.draw_stored(position)]
        pictures += [tiles.draw(SampleKey(position, each)) for each in epochs]
    sheet = add_title(grid(pictures), _heading(config, split))
    with out.open("xb") as file:
        Image.fromarray(sheet).save(file, "PNG")
    say(f"wrote {len(pictures)} pictures to {out}")


def find_image(index: Index, name: str) -> int:
    """Position of the image of an id, a path or a file name.

    Raises:
        UserError: None or several are called so.
    """
    ids = (i for i in range(len(index)) if str(index.image_id(i)) == name)
    if (position := next(ids, None)) is not None:
        return position
    path = Path(name)
    same = [i for i in range(len(index)) if index.path(i).name == path.name]
    exact = [i for i in same if index.path(i).absolute() == path.absolute()]
    found = exact or (same if path.name == name else [])
    if len(found) > 1:
        files = list_first([index.path(i) for i in found])
        raise UserError(f"--image {name}: {len(found)} files have this name; give a path: {files}")
    if not found:
        known = list_first([index.image_id(i) for i in range(min(5, len(index)))], len(index))
        raise UserError(
            f"--image {name}: no image of this id or file in the split; it has the ids {known}"
        )
    return found[0]


def first_keys(config: Config, length: int, split: str, epoch: int, count: int) -> list[SampleKey]:
    """What one process loads first in an epoch; `epoch` is counted from 1."""
    train = split == "train"
    sampler = EpochSampler(length, seed=config.training.seed, shuffle=train, pad=train)
    sampler.set_epoch(epoch - 1)
    return list(islice(sampler, count))


class _Tiles:
    """Draws the samples of a split with a title each, and says each in a line."""

    def __init__(self, config: Config, index: Index, split: str) -> None:
        detection = isinstance(config, DetectionConfig)
        self.column: type[Column] = DetectionColumn if detection else SegmentationColumn
        self.names = [category.name for category in index.categories]
        self.index = index
        self.train = split == "train"
        self.skip_bad, self.seed = config.data.on_bad_image == "skip", config.training.seed
        # The same data set object that training or evaluation reads, but for where colours change.
        training = config.training.model_copy(update={"photometric_on": "worker"})
        data = build_data(config.model_copy(update={"training": training}), index, index)
        dataset = data.train_dataset if self.train else data.val_dataset
        assert dataset is not None
        self.dataset = dataset

    def draw(self, key: SampleKey) -> Picture:
        """A sample as the network gets it."""
        return self._draw(self.dataset[key], self._what(key))

    def draw_usable(self, key: SampleKey) -> Picture | None:
        """The same, but for bad pictures what `data.on_bad_image` says; None if left out."""
        if not self.skip_bad:
            return self.draw(key)
        attempt = SkippingDataset(self.dataset, self.seed, replace=self.train)[key]
        for problem in attempt.bad_images:
            say(f"skipped: {problem}")
        return None if attempt.sample is None else self._draw(attempt.sample, self._what(key))

    def draw_stored(self, position: int) -> Picture:
        """A picture as it is in the data set."""
        return self._draw(self.column.stored_sample(self.index, position), "as stored")

    def _what(self, key: SampleKey) -> str:
        return f"epoch {key.epoch + 1}" if self.train else "as evaluated"

    def _draw(self, sample: Any, what: str) -> Picture:
        height, width = sample.image.shape[1:]
        title = f"{sample.image_id}, {width}x{height}, {what}"
        words, picture = self.column.draw_sample(sample, self.names)
        say(f"{title}: {words}")
        return add_title(picture, title)


def _heading(config: Config, split: str) -> str:
    if split == "val":
        return f"{config.name}, val: not augmented"
    values = config.augmentation.model_dump().items()
    listed = ", ".join(f"{key} {value:g}" for key, value in values)
    return f"{config.name}, train, seed {config.training.seed}: {listed}"


def _check_free(out: Path) -> None:
    if out.exists():
        raise UserError(f"--out {out} exists; give another name, or remove it")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"--out {out}: {out.parent} is no folder that can be written to")
