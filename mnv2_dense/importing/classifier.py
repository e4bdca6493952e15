"""The ImageNet classifier in a file: pooling and the layer of logits."""

from torch import Tensor

from mnv2_dense.backbone.blocks import RELEASE_EPSILON
from mnv2_dense.importing.found import Found
from mnv2_dense.importing.mobilenet_v2 import FoundBackbone, place_last
from mnv2_dense.importing.pictures import Preparation
from mnv2_dense.importing.pooling import check_pooling, pooled_cells, pooling_after
from mnv2_dense.importing.walk import KEEPING, Walk
from mnv2_dense.structures import ImageSize

SIZE = ImageSize(224, 224)
STRIDE = 32
"""Input pixels per cell of the map that is pooled; classifiers are not dilated."""


def place_classifier(walk: Walk, backbone: FoundBackbone, preparation: Preparation) -> Found:
    """Gives the layers behind the last bottleneck their places.

    Raises:
        UserError: They are not a classifier's.
    """
    last = place_last(walk, backbone)
    number = pooling = walk.only(pooling_after(walk, last), "pooling over the picture")
    while not walk.layers_after(number, depthwise=False):
        shaped = walk.only(walk.operations_after(number), "layer of logits")
        if walk.operation(shaped).node.op not in KEEPING:
            raise walk.unknown(f"{walk.operation(shaped).node.name} behind the pooling")
        number = shaped
    logits = walk.only(walk.layers_after(number, depthwise=False), "layer of logits")
    walk.place_biased(logits, "classifier")
    size = preparation.size or _find_size(walk, pooling)
    check_pooling(walk, pooling, size, STRIDE)
    return Found(
        "classification",
        {"input": {"height": size.height, "width": size.width}},
        (),
        {"backbone": RELEASE_EPSILON},
    )


def _find_size(walk: Walk, pooling: int) -> ImageSize:
    """The input's size where pictures of any are fed: as many cells as are pooled."""
    cells = pooled_cells(walk.operation(pooling))
    if cells is not None:
        return ImageSize(cells.height * STRIDE, cells.width * STRIDE)
    walk.notes.append(f"the file does not say its input size; {SIZE.height} is assumed")
    return SIZE


def flatten(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A classifier's weights, with the 1x1 layer of logits as the linear layer that we have."""
    weight = state["classifier.weight"]
    return {**state, "classifier.weight": weight.reshape(weight.shape[:2])}
