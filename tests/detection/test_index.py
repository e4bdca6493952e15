import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mnv2_dense.detection.index import BoxReport, DetectionIndex
from mnv2_dense.ops.texts import SharedTexts
from mnv2_dense.structures import Category


def synthetic(images: int, boxes_per_image: int) -> DetectionIndex:
    count = images * boxes_per_image
    return DetectionIndex(
        Path("images"),
        (Category(1, "thing"),),
        BoxReport("none", 0, 0, (), ()),
        image_ids=torch.arange(images),
        sizes=torch.full((images, 2), 480),
        boxes=torch.rand(count, 4),
        labels=torch.zeros(count, dtype=torch.int64),
        box_offsets=torch.arange(images + 1) * boxes_per_image,
        file_names=SharedTexts(["000000000000.jpg"] * images),
    )


class Reading(Dataset[int]):
    """Touches an image's annotations as training does, and tells the worker's own memory."""

    def __init__(self, index: DetectionIndex) -> None:
        self.entries = index

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> int:
        self.entries.targets(index)
        self.entries.path(index)
        self.entries.size(index)
        last = index % 2000 == 1999
        return psutil.Process(os.getpid()).memory_full_info().uss if last else 0


def memory_by_epoch(loader: DataLoader[int]) -> Iterator[float]:
    """Unshared MiB of the hungriest worker at the end of each of three epochs."""
    for _ in range(3):
        yield max(int(batch.max()) for batch in loader) / 2**20


def measure_memory(path: Path) -> None:
    """Writes what is used by number of images."""
    used = {}
    for images in (8_000, 80_000):
        index = synthetic(images, boxes_per_image=10)
        loader = DataLoader(Reading(index), batch_size=2000, num_workers=2, persistent_workers=True)
        used[images] = list(memory_by_epoch(loader))
    path.write_text(json.dumps(list(used.values())))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="measures forked workers")
def test_memory_does_not_grow_with_size_workers_or_epochs(tmp_path: Path) -> None:
    # In a fresh process: workers come to own pages of what the tests before this one have left.
    context, path = multiprocessing.get_context("spawn"), tmp_path / "used.json"
    process = context.Process(target=measure_memory, args=(path,))
    process.start()
    process.join()
    fewer, more = json.loads(path.read_text())
    # The allocator's own pages vary by about 4 MiB. A copy of the larger index would be 20 MiB,
    # and one list of boxes per image took 55 MiB more.
    assert more[2] - more[0] < 8, (fewer, more)
    assert more[2] - fewer[2] < 10, (fewer, more)


def test_a_pickled_index_does_not_copy_its_data() -> None:
    index = synthetic(20_000, boxes_per_image=10)
    names = index.file_names
    tensors = [value for value in vars(index).values() if isinstance(value, Tensor)]
    tensors += [names.characters, names.offsets]
    assert len(tensors) == 7
    assert all(tensor.is_shared() for tensor in tensors)
    assert len(ForkingPickler.dumps(index)) < 10_000
    assert index.boxes.nbytes > 3_000_000


def double_first_box(index: DetectionIndex) -> None:
    index.boxes[0] = index.boxes[0] * 2


def test_a_spawned_process_reads_the_same_memory() -> None:
    index = synthetic(10, boxes_per_image=1)
    before = index.boxes[0].clone()
    process = multiprocessing.get_context("spawn").Process(target=double_first_box, args=(index,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert torch.equal(index.boxes[0], before * 2)
