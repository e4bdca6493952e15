"""Memory of loader processes over epochs, by entries of the data set.

python docs/experiments/loading/memory.py COCO --out MEMORY.csv

COCO is a folder in COCO's layout, whose training pictures stand for as many entries as are wanted.
`dictionaries` holds the same entries as a list of Python's dictionaries, for comparison.
"""

import argparse
import csv
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader, Sampler

from mnv2_dense.config.detection import DetectionAugmentation
from mnv2_dense.detection.data import DetectionDataset, collate
from mnv2_dense.detection.index import BoxReport, DetectionIndex
from mnv2_dense.detection.targets import build_index
from mnv2_dense.detection.transforms import TrainTransform
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.ops.texts import SharedTexts
from mnv2_dense.structures import DetectionSample, ImageSize, SampleKey
from mnv2_dense.training.datamodule import start_worker

FIELDS = ("Rss", "Pss", "Pss_Anon", "Pss_Shmem", "Private_Dirty")
"""Of /proc/PID/smaps_rollup, in KiB."""
MEAN = (123.675, 116.28, 103.53)
SAMPLES = 2000
"""Of an epoch: each is another part of the entries."""


def repeat(index: DetectionIndex, boxes: int) -> DetectionIndex:
    """The set over and over, until it has that many boxes."""
    per_image = index.box_offsets.diff()
    times = -(-boxes // len(index.boxes))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), per_image.repeat(times).cumsum(0)])
    names = [index.file_names[i] for i in range(len(index))]
    return DetectionIndex(
        index.image_folder,
        index.categories,
        BoxReport("repeated", 0, 0, (), ()),
        torch.arange(times * len(index)),
        index.sizes.repeat(times, 1),
        index.boxes.repeat(times, 1),
        index.labels.repeat(times),
        offsets,
        SharedTexts(names * times),
    )


class Dictionaries(DetectionDataset):
    """The same samples, with the annotations kept as COCO's file has them."""

    def __init__(self, index: DetectionIndex, transform: TrainTransform) -> None:
        super().__init__(index, transform)
        self.entries: list[list[dict[str, Any]]] = []
        for position in range(len(index)):
            targets = index.targets(position)
            pairs = zip(targets.boxes.tolist(), targets.labels.tolist(), strict=True)
            self.entries.append([{"bbox": box, "label": label} for box, label in pairs])

    def __getitem__(self, key: SampleKey) -> DetectionSample:
        """The sample; its entries are looked at, as a data set of dictionaries does."""
        sum(entry["label"] for entry in self.entries[key.index])
        return super().__getitem__(key)


class Parts(Sampler[SampleKey]):
    """Every epoch another part of a shuffled set."""

    def __init__(self, length: int) -> None:
        self.order, self.epoch = np.random.default_rng(0).permutation(length), 0

    def __iter__(self) -> Iterator[SampleKey]:
        begun = self.epoch * SAMPLES
        self.epoch += 1
        part = np.take(self.order, range(begun, begun + SAMPLES), mode="wrap")
        return (SampleKey(int(index), self.epoch) for index in part)

    def __len__(self) -> int:
        return SAMPLES


def read_memory(pid: int) -> dict[str, int]:
    """The fields of one process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {key: int(rest.split()[0]) for key, rest in (line.split(":") for line in lines)}
    return {name: found[name] for name in FIELDS}


def run(samples: DetectionDataset, workers: int, epochs: int) -> Iterator[dict[str, float]]:
    """The mean over the loader processes after each epoch."""
    loader = DataLoader(
        samples,
        32,
        sampler=Parts(len(samples)),
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=True,
        worker_init_fn=start_worker,
    )
    gc.collect()
    gc.freeze()  # As the training command does before its loaders start.
    for epoch in range(epochs):
        for _ in loader:
            pass
        found = [read_memory(each.pid) for each in psutil.Process().children()]
        found = [each for each in found if each["Rss"] > 50_000]  # not the resource tracker
        means = {name: sum(each[name] for each in found) / len(found) / 1024 for name in FIELDS}
        yield {"epoch": epoch + 1, "processes": len(found), **means}


def main() -> None:
    """Reads the command line, runs the loaders, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coco", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    annotations = arguments.coco / "annotations" / "instances_train2017.json"
    index = build_index(read_coco(annotations, arguments.coco / "train2017"))
    augmentation = DetectionAugmentation().model_dump()
    transform = TrainTransform(ImageSize(320, 320), MEAN, **augmentation)
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["kind", "boxes", "epoch", "processes", *FIELDS])
        writer.writeheader()
        for kind, boxes in (("index", 1_000), ("index", 100_000), ("dictionaries", 100_000)):
            repeated = repeat(index, boxes)
            make = Dictionaries if kind == "dictionaries" else DetectionDataset
            for row in run(make(repeated, transform), arguments.workers, arguments.epochs):
                row = {name: round(value, 1) for name, value in row.items()}
                print(kind, len(repeated.boxes), row, flush=True)
                writer.writerow({"kind": kind, "boxes": len(repeated.boxes), **row})


if __name__ == "__main__":
    main()
