"""The parts of a run: detection, segmentation, and colours of a batch."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import torch
from torch import Tensor

from mnv2_dense.benchmarking.interleaving import Timing, measure
from mnv2_dense.benchmarking.loading import torchvision_detection, torchvision_segmentation
from mnv2_dense.benchmarking.loading.sets import (
    detection_config,
    draw_scenes,
    keys_of,
    segmentation_config,
    training_set,
    with_augmentation,
)
from mnv2_dense.benchmarking.ratios import divide
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.detection.data import DetectionDataset
from mnv2_dense.images import open_image, to_rgb
from mnv2_dense.ops.distortion import distort_batch, join_distortions
from mnv2_dense.photometric import PhotometricDistortion, distort
from mnv2_dense.segmentation.data import SegmentationDataset

DETECTION_TARGET = 0.18
SEGMENTATION_TARGET = 0.5
Each = Mapping[str, Callable[[int], Any]]

OURS, NORMALISED = "ours", "ours, normalised"
DECODING = "our decoding alone"
SSDLITE = "torchvision, SSDLite preset, resized"
SSD = "torchvision, SSD preset, resized"
REFERENCE = "torchvision's preset, crop of 480"


def measure_loading(
    repetitions: int, *, coco: Path | None = None, voc: Path | None = None, pictures: int = 32
) -> Iterator[Section]:
    """Times samples of training on one thread, from files to what a loader hands over.

    Args:
        repetitions: Passes over the pictures.
        coco: Folder in COCO's layout; None takes the built-in scenes.
        voc: Folder in VOC's layout; None takes the built-in scenes.
        pictures: Of each set, the first ones.

    Yields:
        Detection, segmentation, and the colours of a batch.

    Raises:
        UserError: The data cannot be read.
    """
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)  # As in a loader process.
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory(prefix="mnv2_dense-") as name:
            scenes = Path(name, "scenes")
            if coco is None or voc is None:
                draw_scenes(scenes, pictures)
            yield _measure_detection(coco or scenes, repetitions, pictures)
            yield _measure_segmentation(voc or scenes, repetitions, pictures)
        yield _measure_colours(repetitions)
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def _measure_detection(root: Path, repetitions: int, pictures: int) -> Section:
    config = detection_config(root)
    samples = training_set(config)
    assert isinstance(samples, DetectionDataset)
    index, keys = samples.index, keys_of(samples, pictures)
    truth = [index.targets(key.index) for key in keys]
    left = training_set(config, photometric_on="device")
    resize = torchvision_detection.resizing()

    def peer(policy: Any, backend: Any, resized: bool) -> Callable[[int], Any]:
        transform = torchvision_detection.preset(policy, backend)
        finish = resize if resized else None
        return lambda i: torchvision_detection.load(
            transform, finish, index.path(i), truth[i], seed=i
        )

    timings = _pass(
        {
            OURS: lambda i: samples[keys[i]],
            NORMALISED: lambda i: _normalise(samples[keys[i]].image),
            "ours, colours left to the device": lambda i: left[keys[i]],
            DECODING: index.image,
            "Pillow's decoding, as safe": lambda i: _decode_by_pillow(index.path(i)),
            "torchvision, SSDLite preset": peer("ssdlite", "pil", False),
            SSDLITE: peer("ssdlite", "pil", True),
            "torchvision, SSDLite preset on tensors, resized": peer("ssdlite", "tv_tensor", True),
            "torchvision, SSD preset": peer("ssd", "pil", False),
            SSD: peer("ssd", "pil", True),
            "torchvision, SSD preset on tensors, resized": peer("ssd", "tv_tensor", True),
        },
        len(keys),
        repetitions,
    )
    return Section(
        f"detection at 320: a sample of {root.name}, {len(keys)} pictures",
        timings,
        [
            divide(timings, NORMALISED, SSD, DETECTION_TARGET),
            divide(timings, NORMALISED, SSDLITE, DETECTION_TARGET),
            divide(timings, OURS, SSD),
            divide(timings, OURS, SSDLITE),
            divide(timings, DECODING, SSDLITE, name=f"{DECODING} / {SSDLITE}: the bound"),
            divide(timings, "ours, colours left to the device", SSD),
            divide(timings, OURS, "torchvision, SSD preset"),
            divide(timings, OURS, "torchvision, SSDLite preset"),
            divide(timings, DECODING, "Pillow's decoding, as safe"),
        ],
        [
            "ours: SSD's whole recipe (colours, zoom-out, IoU crop, flip, resize) to uint8",
            "torchvision's SSD preset: the same steps to float32; its SSDLite preset: IoU crop and "
            "flip alone",
            "resized: and what its model does then, 320 x 320 and normalised; ours, normalised: as "
            "much, though in training that is done on the device for the whole batch",
        ],
    )


def _measure_segmentation(root: Path, repetitions: int, pictures: int) -> Section:
    config = segmentation_config(root)
    samples = training_set(config)
    assert isinstance(samples, SegmentationDataset)
    index, keys = samples.index, keys_of(samples, pictures)
    coloured = training_set(with_augmentation(config, photometric=0.5))

    def peer(backend: Any, crop: int) -> Callable[[int], Any]:
        transform = torchvision_segmentation.preset(backend, crop)
        return lambda i: torchvision_segmentation.load(
            transform, index.path(i), index.mask_path(i), seed=i
        )

    timings = _pass(
        {
            OURS: lambda i: samples[keys[i]],
            NORMALISED: lambda i: _normalise(samples[keys[i]].image),
            "ours, with colours": lambda i: coloured[keys[i]],
            DECODING: lambda i: (index.image(i), index.label_map(i)),
            REFERENCE: peer("pil", torchvision_segmentation.CROP_SIZE),
            "torchvision's preset, crop of 513": peer("pil", 513),
            "torchvision's preset on tensors, crop of 480": peer("tv_tensor", 480),
        },
        len(keys),
        repetitions,
    )
    return Section(
        f"segmentation at 513: a sample of {root.name}, {len(keys)} pictures",
        timings,
        [
            divide(timings, NORMALISED, REFERENCE, SEGMENTATION_TARGET),
            divide(timings, OURS, REFERENCE),
            divide(timings, OURS, "torchvision's preset, crop of 513"),
            divide(timings, OURS, "torchvision's preset on tensors, crop of 480"),
            divide(timings, "ours, with colours", REFERENCE),
        ],
        [
            "ours: scale 0.5 to 2, crop of 513 and flip of a picture and its mask, to uint8",
            "torchvision's preset: shorter side to 260-1040, flip, pad, crop, normalise to float32",
        ],
    )


def _measure_colours(repetitions: int) -> Section:
    """What the colours of a batch cost in a loader process, and on the device."""
    batch = torch.randint(256, (32, 320, 320, 3), dtype=torch.uint8)
    pictures = batch.numpy()
    colours = PhotometricDistortion(0.5)
    drawn = [colours.draw(seed) for seed in range(len(pictures))]
    rows, images = join_distortions(drawn), batch.permute(0, 3, 1, 2)
    assert rows is not None
    calls: dict[str, Callable[[], Any]] = {
        "OpenCV, in a loader": lambda: [*map(distort, pictures, drawn)],
        "PyTorch, the batch, one thread": partial(distort_batch, images, rows),
    }
    if torch.cuda.is_available():
        on_gpu = images.cuda(), rows.cuda()
        calls["PyTorch, the batch, GPU"] = lambda: _wait(distort_batch(*on_gpu))
    timings = measure(calls, repetitions)
    ratios = [divide(timings, name, "OpenCV, in a loader") for name in list(calls)[1:]]
    return Section("colours of a batch of 32 at 320", timings, ratios)


def _wait(_: Any) -> None:
    torch.cuda.synchronize()


def _normalise(image: Tensor) -> Tensor:
    return image.to(torch.float32, copy=True).sub_(127.5).div_(127.5)


def _decode_by_pillow(path: Path) -> Any:
    with open_image(path) as image:
        return to_rgb(image)


def _pass(calls: Each, pictures: int, repetitions: int) -> dict[str, Timing]:
    """Times of a picture, each the mean of a pass over all."""
    passes = {name: partial(_all, call, pictures) for name, call in calls.items()}
    timings = measure(passes, repetitions, warm=False)
    return {
        name: Timing(tuple(seconds / pictures for seconds in timing.seconds))
        for name, timing in timings.items()
    }


def _all(call: Callable[[int], Any], pictures: int) -> None:
    for index in range(pictures):
        call(index)
