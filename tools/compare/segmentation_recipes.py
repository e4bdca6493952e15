"""How a peer's segmenter is trained: by torchvision's reference recipe, or by this project's."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD
from torchvision import tv_tensors
from torchvision.transforms import v2

from mnv2_dense.builders.parts import augmentation_options, input_size
from mnv2_dense.config.schema import SegmentationConfig
from mnv2_dense.segmentation.data import SegmentationDataset, collate
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.segmentation.transforms import TrainTransform
from mnv2_dense.structures import IGNORE_INDEX
from tools.compare.segmentation_peers import OUTPUT_STRIDE, SegmentationPeer
from tools.compare.training import Keys, Recipe
from tools.compare.whole_picture import WholePicture

RATE, RATE_BATCH = 0.01, 8
"""The reference script's defaults. Its deeplabv3_mobilenet_v3_large had 0.01 with batch 32: scaled
down to batch 8 it would learn a quarter as fast, which would not serve so short a run."""
BASE_TO_CROP = 520 / 480
"""Shorter side before the scale in training, and in evaluation, as a multiple of the crop."""
AUXILIARY_WEIGHT = 0.5


def product_recipe(
    task: SegmentationTask, config: SegmentationConfig, index: SegmentationIndex, steps: int
) -> Recipe:
    """This project's augmentation, loss, optimiser and schedule, as tools/train.py has them."""
    augment = TrainTransform(
        input_size(config), mean=config.input.mean, **augmentation_options(config)
    )
    dataset = SegmentationDataset(index, augment, config.training.seed)

    def loss(keys: Keys) -> Tensor:
        return task.losses(collate([dataset[key] for key in keys])).total

    def factor(step: int) -> float:
        return task.learning_rate_factor(step, steps)

    clip = config.training.gradient_clip_norm
    return Recipe(loss, task.make_optimizer(task.network), factor, clip)


def reference_recipe(
    task: SegmentationTask, config: SegmentationConfig, index: SegmentationIndex, steps: int
) -> Recipe:
    """Torchvision's: SGD, poly, shorter side scaled by 0.5 to 2, crop, flip, auxiliary loss.

    Source: pytorch/vision, references/segmentation, train.py and presets.py.
    """
    peer = task.network
    assert isinstance(peer, SegmentationPeer)
    augment = reference_augmentation(config.input.height)

    def loss(keys: Keys) -> Tensor:
        samples = [augment(*_sample(index, key.index)) for key in keys]
        images, label_maps = (torch.stack(each) for each in zip(*samples, strict=True))
        outputs = task(images.as_subclass(Tensor))
        labels = label_maps.as_subclass(Tensor).long()
        main = F.cross_entropy(outputs.class_logits, labels, ignore_index=IGNORE_INDEX)
        if outputs.auxiliary_logits is None:
            return main
        auxiliary = F.cross_entropy(outputs.auxiliary_logits, labels, ignore_index=IGNORE_INDEX)
        return main + AUXILIARY_WEIGHT * auxiliary

    rate = RATE * config.data.batch_size / RATE_BATCH
    optimizer = SGD(peer.groups(rate), lr=rate, momentum=0.9, weight_decay=peer.weight_decay)
    return Recipe(loss, optimizer, partial(reference_factor, steps=steps))


def reference_factor(step: int, *, steps: int) -> float:
    """Share of the peak rate: poly with power 0.9."""
    return (1 - min(step, steps) / steps) ** 0.9


def base_size(crop: int) -> int:
    """The script's base size for a crop: 520 for 480."""
    return round(crop * BASE_TO_CROP)


def reference_inference(crop: int) -> WholePicture:
    """How the script measures what it trained with a crop: at the scale that training is around."""
    return WholePicture(base_size(crop), multiple_of=OUTPUT_STRIDE)


def reference_augmentation(crop: int) -> v2.Transform:
    """Picture and mask to a crop of uint8 pixels; what lies outside of a picture is void."""
    base = base_size(crop)
    return v2.Compose(
        [
            v2.RandomResize(round(0.5 * base), round(2 * base)),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomCrop(
                crop,
                pad_if_needed=True,
                fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE_INDEX},
            ),
        ]
    )


def _sample(index: SegmentationIndex, position: int) -> tuple[Tensor, Tensor]:
    image = torch.from_numpy(index.image(position)).permute(2, 0, 1)
    label_map = torch.from_numpy(index.label_map(position))
    return tv_tensors.Image(image), tv_tensors.Mask(label_map)


RECIPES = {"reference": reference_recipe, "product": product_recipe}
