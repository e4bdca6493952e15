import torch

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.paper.classification import build_classifier
from mnv2_dense.paper.measure import measure
from mnv2_dense.structures import ImageSize


def test_a_classifier_on_the_meta_device_counts_as_the_real_one() -> None:
    size = ImageSize(32, 32)
    real = Classifier(MobileNetV2(("last",), width_mult=0.35), 7)
    empty = build_classifier(MobileNetV2, 7, width_mult=0.35)
    assert next(empty.parameters()).device == torch.device("meta")
    assert measure(empty, size) == measure(real, size)
