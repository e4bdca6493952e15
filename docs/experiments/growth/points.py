"""One point of a cost curve: what is measured, prepared and made once.

points.py WHAT VALUE prints the median seconds of a call and the memory that it takes beside what
was there before, as JSON. A fresh process, so that no point inherits the memory of another.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from mnv2_dense.builders import build_task
from mnv2_dense.builders.detection_data import read_split
from mnv2_dense.config.loader import parse_config
from mnv2_dense.detection.data import join_targets
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.detection.scoring import evaluate
from mnv2_dense.ops.allocation import keep_freed_memory
from mnv2_dense.structures import (
    BoxTargets,
    Category,
    DetectionBatch,
    ImageSize,
    SegmentationBatch,
)

SIZE, CLASSES, BOXES, BATCH = 320, 80, 7, 4
"""What does not vary on the other axes."""
CALLS, LONGEST = 5, 20.0
"""Timed calls at most, and seconds after which no further one is begun."""
DETECTIONS = 14
"""Per box of the truth, as 500,000 are for COCO's 36,781 of val2017."""
Call = Callable[[], Any]


def detector(size: int, classes: int) -> Any:
    """SSDLite with random weights."""
    config = parse_config({"task": "detection", "input": {"height": size, "width": size}})
    return build_task(config, [Category(i + 1, f"class {i}") for i in range(classes)]).train()


def detector_batch(size: int, classes: int, boxes: int, batch: int) -> DetectionBatch:
    """Gray noise with so many random boxes in each picture."""
    generator = torch.Generator().manual_seed(0)

    def targets() -> BoxTargets:
        corners = torch.rand(boxes, 2, generator=generator) * size * 0.7
        sides = torch.rand(boxes, 2, generator=generator) * size * 0.28 + 2
        labels = torch.randint(classes, (boxes,), generator=generator)
        return BoxTargets(torch.cat([corners, corners + sides], dim=1), labels)

    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)
    joined = join_targets([targets() for _ in range(batch)])
    return DetectionBatch(images, joined, [*range(batch)], [ImageSize(size, size)] * batch)


def training(size: int = SIZE, classes: int = CLASSES, boxes: int = BOXES) -> Call:
    """A training step of SSDLite."""
    keep_freed_memory()
    task, batch = detector(size, classes), detector_batch(size, classes, boxes, BATCH)
    optimizer = task.make_optimizer(task.network)

    def step() -> None:
        optimizer.zero_grad()
        task.losses(batch).total.backward()
        optimizer.step()

    return step


def matching(boxes: int) -> Call:
    """Matching and loss of a batch, forwards and back, without the network."""
    keep_freed_memory()
    task, batch = detector(SIZE, CLASSES), detector_batch(SIZE, CLASSES, boxes, BATCH)
    with torch.no_grad():
        found = task(batch.images)
    outputs = DetectorOutputs(
        found.class_logits.requires_grad_(), found.box_deltas.requires_grad_(), found.anchors
    )
    size = ImageSize(SIZE, SIZE)
    return lambda: task.loss(outputs, batch.targets, size).total.backward()


def decoding(size: int = SIZE, classes: int = CLASSES) -> Call:
    """Boxes of one picture from raw outputs, of which a hundredth passes the threshold."""
    task = detector(size, classes)
    with torch.no_grad():
        found = task.eval()(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(found.class_logits.shape, generator=generator)
    logits[..., 0] = logits[..., 1:].logsumexp(dim=-1) + 4.5
    outputs = found._replace(class_logits=logits)
    return lambda: task.decoder(outputs, [ImageSize(480, 640)])


def segmenter(size: int, classes: int, *, train: bool) -> Call:
    """A training step of DeepLabv3 with the light head, or the validation of a batch."""
    keep_freed_memory()
    settings = {
        "task": "segmentation",
        "data": {"classes": [f"class {i}" for i in range(classes)], "train_images": "none"},
        "input": {"height": size, "width": size},
        "backbone": {"output_stride": 16},
        "head": {"aspp": "none"},
    }
    config = parse_config(settings)
    task = build_task(config, [Category(i, f"class {i}") for i in range(classes)])
    task.train(train)
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    labels = torch.randint(0, classes, (2, size, size), dtype=torch.uint8)
    batch = SegmentationBatch(images, labels, [ImageSize(size, size)] * 2, ["a", "b"])
    if not train:
        task.log = lambda *_, **__: None  # type: ignore[method-assign]
        return lambda: task.validation_step(batch, 0)  # type: ignore[arg-type]
    optimizer = task.make_optimizer(task.network)

    def step() -> None:
        optimizer.zero_grad()
        task.losses(batch).total.backward()  # type: ignore[arg-type]
        optimizer.step()

    return step


def truth_of(images: int, classes: int, boxes: int) -> dict[str, Any]:
    """COCO instances: so many pictures with so many random boxes each."""
    rng = np.random.default_rng(0)
    count = images * boxes
    corners = rng.random((count, 2)) * 400
    sides = rng.random((count, 2)) * 150 + 2
    xywh = np.concatenate([corners, sides], axis=1).round(2).tolist()
    labels = rng.integers(1, classes + 1, count).tolist()
    return {
        "images": [
            {"id": i, "file_name": f"{i:012}.jpg", "width": 640, "height": 640}
            for i in range(1, images + 1)
        ],
        "annotations": [
            {
                **{"id": n + 1, "image_id": 1 + n // boxes, "category_id": labels[n]},
                **{"bbox": xywh[n], "area": xywh[n][2] * xywh[n][3], "iscrowd": 0},
            }
            for n in range(count)
        ],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, classes + 1)],
    }


def evaluation(images: int = 500, classes: int = CLASSES, boxes: int = BOXES) -> Call:
    """The twelve numbers of jittered copies of the truth: some 100 a picture, or one per box."""
    rng = np.random.default_rng(1)
    truth = truth_of(images, classes, boxes)
    per_box = max(1, min(DETECTIONS, 100 // boxes))
    results = [
        {
            "image_id": each["image_id"],
            "category_id": each["category_id"],
            "bbox": (np.array(each["bbox"]) + rng.normal(0, 4, 4)).tolist(),
            "score": float(rng.random()),
        }
        for each in truth["annotations"]
        for _ in range(per_box)
    ]
    return lambda: evaluate(truth, results)


def start(entries: int) -> Call:
    """Reading an annotation file of so many boxes, to the index that loader processes share."""
    root = Path(KEPT.name)
    (root / "annotations").mkdir()
    images = max(1, entries // BOXES)
    content = truth_of(images, CLASSES, BOXES)
    for split in ("train2017", "val2017"):
        (root / split).mkdir()
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            (root / split / image["file_name"]).touch()
    config = parse_config({"task": "detection", "data": {"root": str(root)}})
    return lambda: read_split(config.data, "train")  # type: ignore[arg-type]


KEPT = TemporaryDirectory(prefix="growth-")
WHATS: dict[str, Callable[[int], Call]] = {
    "start, entries": start,
    "evaluation, entries": lambda value: evaluation(images=max(1, value // BOXES)),
    "evaluation, classes": lambda value: evaluation(classes=value),
    "evaluation, boxes per picture": lambda value: evaluation(images=100, boxes=value),
    "training step, classes": lambda value: training(classes=value),
    "training step, boxes per picture": lambda value: training(boxes=value),
    "matching and loss, boxes per picture": matching,
    "training step, input side": lambda value: training(size=value),
    "decoding, classes": lambda value: decoding(classes=value),
    "decoding, input side": lambda value: decoding(size=value),
    "segmenter's step, input side": lambda value: segmenter(value + 1, 21, train=True),
    "segmenter's step, classes": lambda value: segmenter(257, value, train=True),
    "segmenter's validation, input side": lambda value: segmenter(value + 1, 21, train=False),
    "segmenter's validation, classes": lambda value: segmenter(257, value, train=False),
}


def resident(line: str) -> float:
    """MiB that the process holds now (`VmRSS`), or has held at most (`VmHWM`), as Linux has it."""
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith(line)) / 1024


def main(what: str, value: int) -> None:
    """Prints the point."""
    torch.manual_seed(0)
    call = WHATS[what](value)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # The most from here on.
    before = resident("VmRSS")
    call()
    memory = max(0.0, resident("VmHWM") - before)
    seconds: list[float] = []
    while len(seconds) < CALLS and sum(seconds) < LONGEST:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": statistics.median(seconds), "mebibytes": memory}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
