"""Torchvision's networks in training, stepped as its reference code does."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from mnv2_dense.benchmarking.interleaving import Call
from mnv2_dense.benchmarking.training.subjects import CLASSES, Batch
from mnv2_dense.structures import IGNORE_INDEX, DetectionBatch


def torchvision_step(batch: Batch) -> Call:
    """A step of torchvision's network for a batch's task, on the same pictures.

    As in its references/detection and references/segmentation: NCHW, SGD, no mixed precision.
    """
    torch.manual_seed(0)
    if isinstance(batch, DetectionBatch):
        return _detector_step(batch)
    model = deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES["segmentation"], aux_loss=True
    )
    images, labels = batch.images.float() / 255, batch.label_maps.long()

    def losses() -> Tensor:
        outputs = model(images)
        main, auxiliary = (
            F.cross_entropy(outputs[name], labels, ignore_index=IGNORE_INDEX)
            for name in ("out", "aux")
        )
        return main + 0.5 * auxiliary

    return _step(model, losses)


def _detector_step(batch: DetectionBatch) -> Call:
    model = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES["detection"] + 1
    )
    images = [*(batch.images.float() / 255)]
    boxes, labels, of_images = batch.targets
    targets = [
        {"boxes": boxes[of_images == place], "labels": labels[of_images == place] + 1}
        for place in range(len(images))
    ]
    return _step(model, lambda: torch.stack([*model(images, targets).values()]).sum())


def _step(model: nn.Module, losses: Call) -> Call:
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        losses().backward()
        optimizer.step()

    return step
