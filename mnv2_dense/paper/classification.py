"""Table 4: ImageNet classifiers at 224x224."""

from collections.abc import Iterator
from typing import Any

import torch

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v1 import MobileNetV1
from mnv2_dense.backbone.mobilenet_v2 import PUBLISHED_WIDTHS, MobileNetV2
from mnv2_dense.backbone.shufflenet_v1 import ShuffleNetV1
from mnv2_dense.paper.agreement import compare
from mnv2_dense.paper.measure import Counts, measure
from mnv2_dense.paper.rows import Row, Table, further_row, printed_row, quoted_row
from mnv2_dense.structures import ImageSize

RESOLUTIONS = (96, 128, 160, 192, 224)
"""Inputs of the released classifiers (paper, section 6.1)."""

_OLD = "the authors' own release states 6.06M and 582M, which is this network"
_V1 = "the release of MobileNetV1 states 569M"


def table_4() -> Table:
    """Every row of Table 4, then other widths, resolutions and readings."""
    rows = (*_printed_rows(), *_text_rows(), *_release_rows(), *_grid(), *_rejected_rows())
    return Table(4, "ImageNet classifiers, 1000 classes at 224x224", rows)


def _printed_rows() -> Iterator[Row]:
    v1, v2 = _count(MobileNetV1), _count(MobileNetV2)
    yield printed_row("MobileNetV1", "", _printed("70.6", "4.2M", "575M", "113"), v1, note=_V1)
    yield printed_row(
        "ShuffleNet (1.5)", "g = 3", _printed("71.5", "3.4M", "292M"), _shufflenet(1.5)
    )
    yield printed_row(
        "ShuffleNet (x2)", "g = 3", _printed("73.7", "5.4M", "524M"), _shufflenet(2.0)
    )
    yield quoted_row("NasNet-A", _printed("74.0", "5.3M", "564M", "183"))
    yield printed_row("MobileNetV2", "", _printed("72.0", "3.4M", "300M", "75"), v2)
    wide = _count(MobileNetV2, width_mult=1.4)
    yield printed_row(
        "MobileNetV2 (1.4)", "", _printed("74.7", "6.9M", "585M", "143"), wide, note=_OLD
    )


def _printed(top_1: str, params: str, multiply_adds: str, milliseconds: str = "") -> dict[str, str]:
    figures = {"top-1": top_1, "params": params, "MAdds": multiply_adds}
    return figures | ({"Pixel 1 CPU ms": milliseconds} if milliseconds else {})


def _text_rows() -> Iterator[Row]:
    """The range that section 6.1 states: 1.7M to 6.9M parameters, 7 to 585 multiply-adds."""
    small = _count(MobileNetV2, side=96, width_mult=0.35)
    note = "section 6.1: the lower ends of its range"
    yield printed_row(
        "MobileNetV2 (0.35)", "96x96", {"params": "1.7M", "MAdds": "7M"}, small, note=note
    )


def _release_rows() -> Iterator[Row]:
    """The authors' release counts 1001 classes and leaves norms out."""
    note = "1001 classes; the authors' release counts without norms"
    for width, side, params, operations in (
        (1.4, 224, "6.06M", "582M"),
        (0.75, 224, "2.61M", "209M"),
        (0.5, 224, "1.95M", "97M"),
        (0.35, 224, "1.66M", "59M"),
        (0.35, 96, "1.66M", "11M"),
    ):
        counts = _count(MobileNetV2, side=side, classes=1001, width_mult=width)
        verdicts = {
            "params": compare(params, {"without norms": counts.weights}),
            "MAdds": compare(operations, {"multiply-adds": counts.multiply_adds}),
        }
        row = further_row(
            f"MobileNetV2 ({width})", f"{side}x{side}, 1001 classes", counts, note=note
        )
        yield row._replace(printed={"params": params, "MAdds": operations}, verdicts=verdicts)


def _grid() -> Iterator[Row]:
    for width in PUBLISHED_WIDTHS:
        for side in RESOLUTIONS:
            counts = _count(MobileNetV2, side=side, width_mult=width)
            yield further_row(f"MobileNetV2 ({width})", f"{side}x{side}", counts)


def _rejected_rows() -> Iterator[Row]:
    for width, stem in ((1.5, 36), (2.0, 24)):
        counts = _shufflenet(width, stem_channels=stem)
        yield further_row(f"ShuffleNet ({width})", f"stem {stem}", counts, kind="rejected")
    counts = _shufflenet(2.0, stem_channels=24, groups=2)
    yield further_row("ShuffleNet (2.0)", "stem 24, g = 2", counts, kind="rejected")


def _shufflenet(width: float, **options: Any) -> Counts:
    return _count(ShuffleNetV1, width_mult=width, **options)


def _count(
    backbone: type[Backbone], *, side: int = 224, classes: int = 1000, **options: Any
) -> Counts:
    network = build_classifier(backbone, classes, **options)
    return measure(network, ImageSize(side, side))


def build_classifier(backbone: type[Backbone], classes: int = 1000, **options: Any) -> Classifier:
    """A classifier on a backbone, without memory for its weights."""
    with torch.device("meta"):
        return Classifier(backbone((backbone.default_taps.classification,), **options), classes)
