import torch

from mnv2_dense.builders.detection import build_network
from mnv2_dense.config.detection import DetectionConfig
from mnv2_dense.paper.detection import build_detector
from mnv2_dense.paper.measure import measure
from mnv2_dense.structures import ImageSize


def test_a_detector_on_the_meta_device_counts_as_the_configs() -> None:
    size, sections = ImageSize(64, 64), {"backbone": {"width_mult": 0.35}}
    empty = build_detector(3, **sections)
    assert next(empty.parameters()).device == torch.device("meta")
    config = DetectionConfig.model_validate(sections)
    assert measure(empty, size) == measure(build_network(config, 3), size)


def test_parts_add_up() -> None:
    network, size = build_detector(20), ImageSize(320, 320)
    parts = [measure(network, size, part) for part in ("backbone", "head")]
    whole = measure(network, size)
    assert [sum(counts) for counts in zip(*parts, strict=True)] == list(whole)
