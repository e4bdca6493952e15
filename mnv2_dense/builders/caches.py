"""A resized copy of a config's data, and the data section that reads it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from mnv2_dense.builders import settle_classes
from mnv2_dense.builders.cache_sources import BOX_PLACES, MASK_PLACES, open_split
from mnv2_dense.caching.manifest import MANIFEST, VERSION, Settings, find_cache
from mnv2_dense.caching.preparing import Prepared, prepare_pictures
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.caching.table import LOCK, Table
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.config.segmentation import VOID
from mnv2_dense.errors import UserError
from mnv2_dense.training.durable import replace_durably

SPLITS = ("train", "val")
_OTHER_KEYS = ("root", "batch_size", "val_batch_size", "num_workers", "on_bad_image", "generate")
"""Of the data section, which say nothing of what is in the data."""


class Wanted(NamedTuple):
    """How a cache is prepared.

    Attributes:
        sizing: How large the copies are.
        quality: Of their JPEGs, 1 to 100.
        splits: Which of `SPLITS` are copied.
        workers: Threads; they change nothing in the cache.
    """

    sizing: Sizing
    quality: int = 90
    splits: tuple[str, ...] = SPLITS
    workers: int = 1


class Cache(NamedTuple):
    """What was prepared.

    Attributes:
        data: Keys of the data section that reads it.
        pictures: What became of the pictures.
        bytes_before: Of the original pictures' files.
        bytes_after: Of the copies.
        bytes_in_all: Of all files of the cache.
    """

    data: dict[str, Any]
    pictures: Prepared
    bytes_before: int
    bytes_after: int
    bytes_in_all: int


def default_sizing(config: Config) -> Sizing:
    """The shorter side of a copy as long as the longer side of the network's input.

    A whole picture then loses nothing that the network would see. A part of it is seen enlarged:
    a detector's crop by 1 / augmentation.iou_crop_min_scale at most.
    """
    return Sizing("shorter", max(config.input.height, config.input.width))


def prepare_cache(config: Config, out: Path, wanted: Wanted) -> Cache:
    """Writes the copy, or goes on with one that was stopped.

    The manifest comes last: without it the folder is no data set. A finished cache depends on
    source and settings alone, byte for byte, however often it was stopped.

    Args:
        config: Whose data are copied.
        out: A folder that is not there yet, is empty, or holds this cache.
        wanted: How it is prepared.

    Raises:
        UserError: The data cannot be used, the folder holds something else, or another process
            is at work in it.
    """
    if find_cache(Path(config.data.root)) is not None:
        raise UserError(f"data.root={config.data.root}: is a cache already; give the originals")
    config = settle_classes(config)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"--out {out}: another process is preparing this cache") from error
    try:
        return _prepare(config, out, Table(out, _settings(config, wanted)), wanted)
    finally:
        (out / LOCK).unlink(missing_ok=True)
        lock.release()


def _settings(config: Config, wanted: Wanted) -> Settings:
    return {
        "version": VERSION,
        "source": str(Path(config.data.root).resolve()),
        "data": config.data.model_dump(mode="json", exclude=set(_OTHER_KEYS)),
        "size": str(wanted.sizing),
        "quality": wanted.quality,
        "splits": list(wanted.splits),
    }


def _prepare(config: Config, out: Path, table: Table, wanted: Wanted) -> Cache:
    taken: set[str] = set()
    sources = [open_split(config, out, split, taken) for split in wanted.splits]
    # A finished cache whose source has changed is none until it is finished again.
    (out / MANIFEST).unlink(missing_ok=True)
    prepared = prepare_pictures(
        [item for source in sources for item in source.items],
        out,
        table,
        sizing=wanted.sizing,
        quality=wanted.quality,
        workers=wanted.workers,
        skip_bad=config.data.on_bad_image == "skip",
    )
    for source in sources:
        source.write(prepared.entries)
    entries = prepared.entries.values()
    table.write(entries)
    data = _data_section(config, wanted.splits)
    content = {"version": VERSION, "data": data, "left_out": prepared.bad}
    text = json.dumps(content, indent=1) + "\n"
    replace_durably(out / MANIFEST, lambda file: file.write(text.encode()))
    return Cache(
        data,
        prepared,
        bytes_before=sum(entry.sources[0].size for entry in entries),
        bytes_after=sum(entry.files[entry.picture] for entry in entries),
        bytes_in_all=sum(file.stat().st_size for file in out.rglob("*") if file.is_file()),
    )


def _data_section(config: Config, splits: tuple[str, ...]) -> dict[str, Any]:
    """Keys that read the cache, without its root."""
    places: Mapping[str, str] = MASK_PLACES
    keys: dict[str, Any] = {"format": "voc", "val_share": None}
    if isinstance(config, DetectionConfig):
        places = BOX_PLACES
        keys |= {"format": "coco", "train_list": None, "val_list": None}
    else:
        names, count = config.data.classes, config.data.num_classes
        keys |= {"num_classes": count} if names is None else {"classes": list(names)}
        keys |= _OF_INDEX_MASKS
    found = {key: value for key, value in places.items() if key.startswith(splits)}
    return {**keys, "orientation": config.data.orientation, **found}


_OF_INDEX_MASKS = {
    **{"train_annotations": None, "val_annotations": None, "min_object_area": 0},
    **{"image_suffix": "", "mask_suffix": ".png", "ignore_index": VOID},
    **{"colors": None, "ignore_color": None, "color_table": None},
}
"""How a cache's masks are read: whatever the originals were, they hold classes and void."""
