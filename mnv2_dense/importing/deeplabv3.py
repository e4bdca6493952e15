"""DeepLabv3 in a file: image pooling, branches, projection, logits and up-sampling."""

from collections.abc import Sequence
from typing import Any

from mnv2_dense.backbone.blocks import RELEASE_EPSILON
from mnv2_dense.importing.found import Found
from mnv2_dense.importing.labels import segmentation_categories
from mnv2_dense.importing.mobilenet_v2 import FoundBackbone
from mnv2_dense.importing.pictures import Preparation, read_size
from mnv2_dense.importing.pooling import check_pooling, count_cells, pooled_cells, pooling_after
from mnv2_dense.importing.segmentation_results import check_results
from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.walk import Walk
from mnv2_dense.segmentation.head import RATES_STRIDE
from mnv2_dense.structures import ImageSize

TAP = "block_16"
HEAD_EPSILON = 1e-5
RELEASE_SIZE = ImageSize(513, 513)
_RESIZE = "resize_bilinear"
_SPREADING = (_RESIZE, "resize_nearest_neighbor", "tile", "broadcast_to")
"""What makes a map of equal cells of a single one."""


def place_deeplabv3(walk: Walk, backbone: FoundBackbone, preparation: Preparation) -> Found:
    """Gives the layers behind the last bottleneck their places.

    Raises:
        UserError: They are not DeepLabv3's.
    """
    tap = backbone.taps[TAP]
    pooling = walk.only(pooling_after(walk, tap), "pooling over the picture")
    pooled = walk.only(walk.layers_after(pooling, depthwise=False), "1x1 layer behind the pooling")
    spread = walk.only(walk.operations_after(pooled), "operation that spreads the pooled map")
    concat = walk.only(walk.operations_after(spread), "concatenation of branches")
    sources = walk.operation(concat).sources
    if walk.operation(concat).node.op != "concat" or sources[:1] != (spread,):
        raise walk.unknown(f"{walk.operation(concat).node.name} where branches are concatenated")
    _check_joint(walk, spread, concat)
    activation = walk.layer(pooled).activation or "relu"
    walk.place(
        pooled,
        "head.image_pooling",
        activation=activation,
        names=("head.image_pooling.convolution", "head.image_pooling.norm"),
        group="head",
    )
    stride: int = backbone.settings["output_stride"]
    head = _place_branches(walk, tap, sources[1:], activation, stride)
    project = walk.only(walk.layers_after(concat, depthwise=False), "projection")
    channels = walk.place(project, "head.project", activation=activation, group="head").channels
    logits = walk.only(walk.layers_after(project, depthwise=False), "layer of logits")
    count = walk.place_biased(logits, "head.classifier").channels
    check_results(walk, logits, count)
    resizes = _resizes_after(walk, logits)
    corners = _aligns_corners(walk, [spread, *resizes])
    size = preparation.size or _find_size(walk, pooling, resizes, stride)
    check_pooling(walk, pooling, size, stride)
    categories = segmentation_categories(count)
    return Found(
        "segmentation",
        {
            "input": {"height": size.height, "width": size.width},
            "data": {"classes": [category.name for category in categories]},
            "head": {
                "name": "deeplabv3",
                "tap": TAP,
                "channels": channels,
                "activation": activation,
                "align_corners": corners,
                **head,
            },
            "evaluation": {"large_pictures": "shrink"},
        },
        categories,
        {"backbone": RELEASE_EPSILON, "head": HEAD_EPSILON},
    )


def has_pooling(walk: Walk, tap: int) -> bool:
    """Whether a map is pooled over the picture while layers read it, too."""
    return bool(pooling_after(walk, tap)) and bool(walk.layers_after(tap, depthwise=False))


def _place_branches(
    walk: Walk, tap: int, branches: Sequence[int], activation: str, stride: int
) -> dict[str, object]:
    """Places the branches beside the pooling, and returns the keys of the config's head."""
    if not branches:
        raise walk.unknown("no branch of 1x1")
    layer: dict[str, Any] = {"activation": activation, "group": "head"}
    walk.place(branches[0], "head.branches.0", **layer)
    _check_source(walk, branches[0], tap)
    found = [
        _place_atrous(walk, tap, number, f"head.branches.{index}", layer)
        for index, number in enumerate(branches[1:], start=1)
    ]
    kinds = {kind for kind, _ in found}
    if len(kinds) > 1:
        raise walk.unknown("atrous branches of two kinds")
    if not found:
        return {"aspp": "none"}
    # The config gives rates as at stride 16.
    rates = [divmod(rate * stride, RATES_STRIDE) for _, rate in found]
    if any(rest for _, rest in rates):
        given = ", ".join(str(rate) for _, rate in found)
        raise walk.unknown(
            f"atrous rates {given} at output stride {stride}, which are no whole numbers at stride "
            f"{RATES_STRIDE}"
        )
    return {"aspp": kinds.pop(), "atrous_rates": [rate for rate, _ in rates]}


def _place_atrous(
    walk: Walk, tap: int, number: int, prefix: str, layer: dict[str, Any]
) -> tuple[str, int]:
    """Places one atrous branch, and returns its kind and its rate."""
    last = walk.layer(number)
    separable = last.kernel == 1
    first = last.source if separable else number
    rate = walk.layer(first).dilation
    module = f"{prefix}.0" if separable else prefix
    walk.place(first, module, kernel=3, dilation=rate, depthwise=separable, **layer)
    if separable:
        walk.place(number, f"{prefix}.1", **layer)
    _check_source(walk, first, tap)
    return ("separable" if separable else "dense"), rate


def _check_joint(walk: Walk, spread: int, concat: int) -> None:
    """Refuses a pooled map that is not spread as it is, or branches not joined by channels."""
    node, joint = walk.operation(spread).node, walk.operation(concat).node
    if node.op not in _SPREADING:
        raise walk.unknown(f"{node.name} ({node.op}) where the pooled map is spread")
    if joint.attributes["axis"] not in (3, -1):
        raise walk.unknown(f"{joint.name} joins branches along axis {joint.attributes['axis']}")


def _check_source(walk: Walk, number: int, tap: int) -> None:
    layer = walk.layer(number)
    if layer.source != tap:
        raise walk.unknown(f"{layer.node.name} does not read the backbone's last map")


def _resizes_after(walk: Walk, number: int) -> list[int]:
    """The resizes of the logits, one behind the other."""
    found: list[int] = []
    while readers := [
        reader
        for reader in walk.operations_after(number)
        if walk.operation(reader).node.op == _RESIZE
    ]:
        number = walk.only(readers, "resize of the logits")
        found.append(number)
    return found


def _aligns_corners(walk: Walk, numbers: Sequence[int]) -> bool:
    """Whether corners are aligned in every resize."""
    nodes = [walk.operation(number).node for number in numbers]
    rules = {
        tuple(bool(node.attributes.get(key)) for key in ("align_corners", "half_pixel_centers"))
        for node in nodes
        if node.op == _RESIZE
    }
    if not rules <= {(True, False)} and not rules <= {(False, True)}:
        raise walk.unknown(f"{nodes[-1].name} resizes by a rule no config value stands for")
    return (False, True) not in rules


def _find_size(walk: Walk, pooling: int, resizes: Sequence[int], stride: int) -> ImageSize:
    """The input's size where the file does not say it: that of the result, or of the cells."""
    cells = pooled_cells(walk.operation(pooling))
    result = _size(walk.operation(resizes[-1])) if resizes else None
    if result is not None and cells in (None, count_cells(result, stride)):
        return result
    if cells is not None:
        return ImageSize(*((side - 1) * stride + 1 for side in cells))
    walk.notes.append(f"the file does not say its input size; {RELEASE_SIZE.height} is assumed")
    return RELEASE_SIZE


def _size(resize: Operation) -> ImageSize | None:
    constant = resize.constants.get(1)
    return None if constant is None else read_size(constant.value)
