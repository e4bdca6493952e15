"""How a peer's detector is trained: by torchvision's reference recipe, or by this project's.

The loss is the peer's own in both.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.optim import SGD
from torchvision import tv_tensors
from torchvision.models.detection.ssd import SSD
from torchvision.transforms import v2

from mnv2_dense.builders.parts import augmentation_options, input_size, task_options
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.data import DetectionDataset
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.transforms import TrainTransform
from mnv2_dense.structures import BoxTargets
from tools.compare.training import Keys, Recipe

RATE, RATE_BATCH = 0.15, 192
WARM_UP_FACTOR, LONGEST_WARM_UP = 0.001, 1000
Sample = tuple[Tensor, BoxTargets]
"""A picture [3, H, W] uint8 and its boxes in its pixels."""


def product_recipe(
    network: SSD, config: DetectionConfig, index: DetectionIndex, steps: int
) -> Recipe:
    """This project's augmentation, optimiser and schedule, as tools/train.py has them."""
    augment = TrainTransform(
        input_size(config),
        mean=config.input.mean,
        resize=config.input.resize,
        **augmentation_options(config),
    )
    dataset = DetectionDataset(index, augment, config.training.seed)
    options = task_options(config, index.categories)

    def loss(keys: Keys) -> Tensor:
        samples = (dataset[key] for key in keys)
        return own_loss(network, [(sample.image, sample.targets) for sample in samples])

    def factor(step: int) -> float:
        return options["learning_rate_factor"](step, steps)

    clip = config.training.gradient_clip_norm
    return Recipe(loss, options["make_optimizer"](network), factor, clip)


def reference_recipe(
    network: SSD, config: DetectionConfig, index: DetectionIndex, steps: int
) -> Recipe:
    """Torchvision's of ssdlite320_mobilenet_v3_large: SGD, cosine, crops by IoU, flips.

    It is taken for SSD on MobileNetV2 as well: that of ssd300_vgg16 (SGD 0.002 for 32 pictures) is
    for a network without batch norms, and would hardly move this one in so few steps.

    Source: pytorch/vision, references/detection, README.md, train.py, engine.py and presets.py.
    """
    augment = v2.Compose(
        [v2.RandomIoUCrop(), v2.RandomHorizontalFlip(0.5), v2.SanitizeBoundingBoxes()]
    )

    def loss(keys: Keys) -> Tensor:
        return own_loss(network, [_augment(augment, index, key.index) for key in keys])

    batch = config.data.batch_size
    rate = RATE * batch / RATE_BATCH
    warm_up = min(LONGEST_WARM_UP, len(index) // batch - 1)
    optimizer = SGD(network.parameters(), lr=rate, momentum=0.9, weight_decay=4e-5)
    factor = partial(reference_factor, steps=steps, warm_up=warm_up)
    return Recipe(loss, optimizer, factor)


def reference_factor(step: int, *, steps: int, warm_up: int) -> float:
    """Share of the peak rate: cosine over the run, and over it a linear warm-up.

    The reference lowers its rate by epochs; so short a run does it by steps.
    """
    cosine = (1 + math.cos(math.pi * min(step, steps) / steps)) / 2
    if step >= warm_up:
        return cosine
    return cosine * (WARM_UP_FACTOR + (1 - WARM_UP_FACTOR) * step / warm_up)


def own_loss(network: SSD, samples: Sequence[Sample]) -> Tensor:
    """The sum of the losses of torchvision's detectors."""
    images = [image / 255 for image, _ in samples]
    targets = [
        {"boxes": boxes, "labels": labels + 1}  # theirs count the background
        for _, (boxes, labels) in samples
    ]
    losses: dict[str, Tensor] = network(images, targets)
    return sum(losses.values(), start=torch.zeros(()))


def _augment(augment: v2.Transform, index: DetectionIndex, position: int) -> Sample:
    image = tv_tensors.Image(torch.from_numpy(index.image(position)).permute(2, 0, 1))
    boxes, labels = index.targets(position)
    if not len(boxes):  # The reference leaves such pictures out; its crop needs a box.
        image = v2.RandomHorizontalFlip(0.5)(image)
        return image.as_subclass(Tensor), BoxTargets(boxes, labels)
    canvas = tuple(index.size(position))
    framed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas)  # pyrefly: ignore
    image, targets = augment(image, {"boxes": framed, "labels": labels})
    return (
        image.as_subclass(Tensor),
        BoxTargets(targets["boxes"].as_subclass(Tensor), targets["labels"]),
    )


RECIPES = {"reference": reference_recipe, "product": product_recipe}
