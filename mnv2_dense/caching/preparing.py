"""The pictures of a cache, one after the other, each once, however often it is stopped."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mnv2_dense.caching.manifest import ORIGINALS
from mnv2_dense.caching.sizing import Sizing, resize_labels, shrink
from mnv2_dense.caching.table import Entry, Stamp, Table, stamp_of
from mnv2_dense.caching.writing import encode_labels, encode_picture, write_file
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

AHEAD = 16
"""Pictures per thread that are handed out at a time."""


class Item(NamedTuple):
    """A picture to be prepared.

    Attributes:
        place: Of its copy below the cache's folder, without extension.
        root: The data set's folder.
        sources: The files that it is made from, the picture first.
        read: Its pixels, uint8 RGB [H, W, 3], and its label map [H, W], if there is one.
        mask_place: Of its mask's copy, without extension.
    """

    place: str
    root: Path
    sources: tuple[Path, ...]
    read: Callable[[], tuple[np.ndarray, np.ndarray | None]]
    mask_place: str = ""

    def stamps(self) -> tuple[Stamp, ...]:
        """The sources' names and states."""
        return tuple(stamp_of(source, self.root) for source in self.sources)


class Prepared(NamedTuple):
    """What became of the pictures.

    Attributes:
        entries: By place, those in the cache, in the order of the items.
        bad: What is wrong with the others.
        done_before: How many were done by an earlier call.
    """

    entries: dict[str, Entry]
    bad: list[str]
    done_before: int


def prepare_pictures(
    items: Sequence[Item],
    root: Path,
    table: Table,
    *,
    sizing: Sizing,
    quality: int,
    workers: int,
    skip_bad: bool,
) -> Prepared:
    """Prepares the pictures that are not done, and removes copies that belong to none any more.

    Args:
        items: All pictures of the cache.
        root: Its folder.
        table: Its table.
        sizing: How large the copies are.
        quality: Of their JPEGs, 1 to 100.
        workers: Threads (decoders leave Python's lock).
        skip_bad: Leave out pictures that cannot be used.

    Raises:
        UserError: One cannot be used; those before it are done.
    """
    bad: list[str] = []
    done = {item.place: entry for item in items if (entry := _done(item, root, table))}
    done_before = len(done)

    def work(item: Item) -> Entry | None:
        try:
            entry = prepare_picture(item, root, sizing, quality)
        except UserError as error:
            if not skip_bad:
                raise
            bad.append(str(error))
            return None
        if before := table.done.get(item.place):
            _remove(root, before.files.keys() - entry.files.keys())
        table.add(entry)
        return entry

    waiting = [item for item in items if item.place not in done]
    for entry in _run(work, waiting, workers, total=len(items)):
        if entry is not None:
            done[entry.place] = entry
    entries = {item.place: done[item.place] for item in items if item.place in done}
    _remove_lost(root, table, entries)
    return Prepared(entries, sorted(bad), done_before)


def prepare_picture(item: Item, root: Path, sizing: Sizing, quality: int) -> Entry:
    """Writes the files of a picture.

    Raises:
        UserError: It cannot be used.
    """
    stamps = item.stamps()
    image, label_map = item.read()
    size = ImageSize(*image.shape[:2])
    cached = sizing.fit(size)
    small = shrink(image, cached)
    content, suffix = encode_picture(small, item.sources[0], quality, resized=cached != size)
    files = {f"{item.place}{suffix}": content}
    if label_map is not None:
        name = f"{item.mask_place}.png"
        files[name] = encode_labels(resize_labels(label_map, cached))
        if cached != size:
            files[f"{ORIGINALS}/{name}"] = encode_labels(label_map)
    for name, data in files.items():
        write_file(root / name, data)
    lengths = {name: len(data) for name, data in files.items()}
    return Entry(item.place, stamps, size, cached, lengths)


def _done(item: Item, root: Path, table: Table) -> Entry | None:
    """What is known of a picture that is done, from the same sources, as they were."""
    entry = table.done.get(item.place)
    if entry is None or entry.sources != item.stamps():
        return None
    return entry if entry.is_whole(root) else None


def _run(
    work: Callable[[Item], Entry | None], items: Sequence[Item], workers: int, total: int
) -> Iterator[Entry | None]:
    bar = tqdm(
        total=total, initial=total - len(items), desc="pictures", unit="", disable=None, leave=False
    )
    # The filter is the process's, and every thread saves and restores it: this one is the last.
    with warnings.catch_warnings(), bar, ThreadPoolExecutor(workers) as pool:
        warnings.simplefilter("ignore")
        for start in range(0, len(items), AHEAD * workers):
            for entry in pool.map(work, items[start : start + AHEAD * workers]):
                bar.update()
                yield entry


def _remove_lost(root: Path, table: Table, entries: dict[str, Entry]) -> None:
    """Removes files that an earlier call wrote, of pictures that are gone or called otherwise."""
    kept = {name for entry in entries.values() for name in entry.files}
    for entry in table.done.values():
        _remove(root, entry.files.keys() - kept)


def _remove(root: Path, names: Iterable[str]) -> None:
    for name in names:
        (root / name).unlink(missing_ok=True)
