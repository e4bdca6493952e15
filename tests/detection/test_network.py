import math

import pytest
import torch

from mnv2_dense.backbone.mobilenet_v2 import SSD_TAPS, MobileNetV2
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.data import join_targets
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.loss import SSDLoss
from mnv2_dense.detection.network import Detector
from mnv2_dense.structures import BoxTargets, ImageSize


def narrow(num_slots: int = 4) -> Detector:
    """Untrained, but with running statistics that let the signal through."""
    torch.manual_seed(0)
    backbone, anchors = MobileNetV2(SSD_TAPS, width_mult=0.1, norm_momentum=1), AnchorGenerator()
    options = {"width_mult": 0.1, "norm_momentum": 1.0}
    head = SSDHead(backbone.specs, anchors.counts, num_slots, **options)
    network = Detector(backbone, head, anchors)
    with torch.no_grad():
        network(torch.randn(4, 3, 64, 96))
    return network.eval()


@pytest.mark.parametrize(
    "size", [(320, 320), (300, 300), (64, 64), (1, 1), (97, 33), (33, 200), (224, 31)]
)
@torch.no_grad()
def test_any_size_has_one_anchor_per_prediction(size: tuple[int, int]) -> None:
    outputs = narrow()(torch.randn(2, 3, *size))
    levels = [[math.ceil(side / stride) for side in size] for stride in (16, 32, 64, 128, 256, 512)]
    count = sum(h * w * (3 if level == 0 else 6) for level, (h, w) in enumerate(levels))
    assert outputs.anchors.shape == (count, 4)
    assert outputs.class_logits.shape == (2, count, 4)
    assert outputs.box_deltas.shape == (2, count, 4)


@torch.no_grad()
def test_anchors_know_the_shape_of_the_input() -> None:
    """A high input: the first anchor is a square in pixels, 0.1 of the width."""
    anchors = narrow()(torch.zeros(1, 3, 128, 64)).anchors
    torch.testing.assert_close(anchors[0, 2:] * torch.tensor([64, 128]), torch.tensor([6.4, 6.4]))


@torch.no_grad()
def test_images_of_a_batch_do_not_touch_each_other() -> None:
    network = narrow()
    images = torch.randn(3, 3, 64, 96)
    together = network(images)
    assert together.class_logits.std(dim=0).mean() > 0.01
    for index in range(3):
        alone = network(images[index : index + 1])
        for one, all_ in zip(alone[:2], together[:2], strict=True):
            torch.testing.assert_close(one[0], all_[index], rtol=1e-3, atol=1e-3)


def test_training_after_an_evaluation_in_inference_mode() -> None:
    """Lightning evaluates in inference mode; what is cached there must not stop training."""
    network = narrow()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        network(images)
    network.train()
    target = BoxTargets(torch.tensor([[8.0, 8, 40, 50]]), torch.tensor([1]))
    terms = SSDLoss(mining_nms_iou=0.99)(
        network(images), join_targets([target, target]), ImageSize(64, 64)
    )
    terms.total.backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("separable", [True, False])
def test_class_layers_alone_have_the_shapes_of_the_classes(separable: bool) -> None:
    """Of the tensors, those and no others change their shape with the number of classes."""
    states: list[dict[str, torch.Tensor]] = []
    for num_slots in (4, 9):
        backbone, anchors = MobileNetV2(SSD_TAPS, width_mult=0.1), AnchorGenerator()
        head = SSDHead(
            backbone.specs, anchors.counts, num_slots, width_mult=0.1, separable=separable
        )
        network = Detector(backbone, head, anchors)
        states.append(network.state_dict())
    changed = {name for name in states[0] if states[0][name].shape != states[1][name].shape}
    tensors = {f"{name}.{part}" for name in network.class_layers for part in ("weight", "bias")}
    assert tensors == changed
    assert len(network.class_layers) == len(anchors.counts)
