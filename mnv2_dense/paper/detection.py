"""Tables 5 and 6: SSD's heads, and detectors for COCO."""

from collections.abc import Iterator
from typing import Any

import torch

from mnv2_dense.builders.detection import build_network
from mnv2_dense.config.detection import DetectionConfig
from mnv2_dense.detection.network import Detector
from mnv2_dense.paper.agreement import compare
from mnv2_dense.paper.measure import Counts, measure
from mnv2_dense.paper.rows import Row, Table, further_row, printed_row, quoted_row
from mnv2_dense.structures import ImageSize

COCO_CLASSES = 80
VOC_CLASSES = 20
RELEASE_CLASSES = 90
"""The released graph has a slot for every COCO category id, used or not."""
_TWICE = "0.35B is twice our multiply-adds; with it Table 6 would not add up to 0.8B"


def table_5() -> Table:
    """SSD's head against SSDLite's, on MobileNetV2 at 320x320."""
    lite, full = (build_detector(head={"name": name}) for name in ("ssdlite", "ssd"))
    narrow = build_detector(COCO_CLASSES - 1, head={"name": "ssd"})
    head = _count(lite, part="head")
    doubled = compare("0.35B", {"": 2 * head.multiply_adds}).agrees
    rows = (
        printed_row(
            "SSD", "head", {"params": "14.8M", "MAdds": "1.25B"}, _count(full, part="head")
        ),
        printed_row(
            "SSDLite",
            "head",
            {"params": "2.1M", "MAdds": "0.35B"},
            head,
            note=_TWICE if doubled else "",
        ),
        further_row("SSD", "whole network", _count(full)),
        further_row("SSD", "head, 80 slots", _count(narrow, part="head"), kind="rejected"),
    )
    return Table(5, "Heads on MobileNetV2 for COCO at 320x320, 80 classes and background", rows)


def table_6() -> Table:
    """Every row of Table 6, then other inputs, classes and readings."""
    rows = (*_printed_rows(), *_further_rows(), *_rejected_rows())
    return Table(6, "Detectors for COCO at 320x320, 80 classes and background", rows)


def _printed_rows() -> Iterator[Row]:
    yield quoted_row("SSD300", _printed("23.2", "36.1M", "35.2B"))
    yield quoted_row("SSD512", _printed("26.8", "36.1M", "99.5B"))
    yield quoted_row("YOLOv2", _printed("21.6", "50.7M", "17.5B"))
    for name, title, printed in (
        ("mobilenet_v1", "MNet V1 + SSDLite", _printed("22.2", "5.1M", "1.3B", "270")),
        ("mobilenet_v2", "MNet V2 + SSDLite", _printed("22.1", "4.3M", "0.8B", "200")),
    ):
        network = build_detector(backbone={"name": name})
        more = _parts(network) | {"anchors": _anchors(network, 320)}
        yield printed_row(title, "320x320", printed, _count(network), more=more)


def _printed(
    average_precision: str, params: str, multiply_adds: str, milliseconds: str = ""
) -> dict[str, str]:
    figures = {"mAP": average_precision, "params": params, "MAdds": multiply_adds}
    return figures | ({"Pixel 1 CPU ms": milliseconds} if milliseconds else {})


def _further_rows() -> Iterator[Row]:
    model, network = "MNet V2 + SSDLite", build_detector()
    anchors = {"anchors": _anchors(network, 300)}
    yield further_row(model, "300x300", _count(network, 300), more=anchors)
    yield _release_row(model, anchors)
    voc = build_detector(VOC_CLASSES)
    yield further_row(model, "20 classes", _count(voc), more=_parts(voc))


def _release_row(model: str, anchors: dict[str, int]) -> Row:
    """The released graph, beside what OpenVINO's page on it states."""
    counts = _count(build_detector(RELEASE_CLASSES), 300)
    more = {**anchors, "folded": counts.folded}
    row = further_row(model, "300x300, 90 classes", counts, more=more)
    printed, operations = "4.475M", {"norms folded": counts.folded}
    return row._replace(
        printed={"folded": printed},
        verdicts={"folded": compare(printed, operations)},
        note="OpenVINO's page on the released graph",
    )


def _rejected_rows() -> Iterator[Row]:
    model = "MNet V2 + SSDLite"
    options: dict[str, dict[str, Any]] = {
        "six anchors per cell of the first level": {"anchors": {"reduce_lowest_level": False}},
        "first tap behind the 13th bottleneck": {"head": {"taps": ["block_12", "last"]}},
    }
    for setting, sections in options.items():
        counts = _count(build_detector(**sections))
        yield further_row(model, setting, counts, kind="rejected")


def _parts(network: Detector) -> dict[str, int]:
    """Parameters and multiply-adds of the backbone and of the head."""
    parts: dict[str, int] = {}
    for part in ("backbone", "head"):
        counts = _count(network, part=part)
        parts[f"{part}_parameters"] = counts.parameters
        parts[f"{part}_multiply_adds"] = counts.multiply_adds
    return parts


def _count(network: Detector, side: int = 320, part: str = "") -> Counts:
    return measure(network, ImageSize(side, side), part)


def _anchors(network: Detector, side: int) -> int:
    with torch.no_grad():
        return len(network.eval()(torch.zeros(1, 3, side, side, device="meta")).anchors)


def build_detector(classes: int = COCO_CLASSES, **sections: Any) -> Detector:
    """A detector of config sections, without memory for its weights."""
    with torch.device("meta"):
        return build_network(DetectionConfig.model_validate(sections), classes)
