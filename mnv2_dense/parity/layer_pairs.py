"""Which layer of ours is which tensor of a .tflite file."""

from collections.abc import Mapping, Sequence

from torch import nn

from mnv2_dense.errors import UserError
from mnv2_dense.importing.found import Imported
from mnv2_dense.importing.graph import Graph
from mnv2_dense.importing.ssdlite import COORDINATES, TO_OURS

_CONVOLUTIONS = ("{}.0", "{}.convolution", "{}")
"""Where a layer's own convolution is, below its module."""


def find_pairs(network: nn.Module, imported: Imported, graph: Graph) -> dict[str, str]:
    """The file's tensors by our names, in the file's order, with what a shortcut is added to.

    Raises:
        UserError: The network has no such layer.
    """
    makers = {output: node for node in graph.nodes for output in node.outputs}
    pairs: dict[str, str] = {}
    for name, tensor in imported.outputs:
        if not _has(network, name):
            raise UserError(
                f"{imported.source}: has a layer {name}, and the checkpoint has none; they do not "
                "belong together"
            )
        maker = makers[tensor]
        if maker.op == "add" and _has(network, f"{name}.project"):
            # The other one may be a convolution's, too: the projection before.
            depthwise = pairs.get(f"{name}.depthwise")
            added = [each for each in maker.inputs if _source(graph, each) == depthwise]
            pairs |= {f"{name}.project": each for each in added}
        pairs[name] = tensor
    order = {output: place for place, output in enumerate(makers)}
    return dict(sorted(pairs.items(), key=lambda pair: order[pair[1]]))


def find_inputs(network: nn.Module, pairs: Mapping[str, str], graph: Graph) -> dict[str, str]:
    """What the file's convolutions read, by the names of ours."""
    known = (
        (candidate.format(name), _source(graph, tensor))
        for name, tensor in pairs.items()
        for candidate in _CONVOLUTIONS
        if _is_convolution(network, candidate.format(name))
    )
    return {name: source for name, source in known if source is not None}


def _source(graph: Graph, tensor: str) -> str | None:
    """What the convolution reads that makes a tensor; None if another operation makes it."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    while (node := makers.get(tensor)) is not None:
        if node.op in ("conv2d", "depthwise_conv2d", "dense"):
            return node.inputs[0]
        if node.op not in ("relu", "relu6"):
            break
        tensor = node.inputs[0]
    return None


def find_orders(imported: Imported) -> dict[str, list[int]]:
    """Places in the file of the channels of a detector's last layers, in our order."""
    if imported.task != "detection":
        return {}
    kept = [0, *(category.category_id for category in imported.categories)]
    orders: dict[str, list[int]] = {}
    for name, _ in imported.outputs:
        bias = imported.state.get(f"{name}.bias")
        if bias is not None and ".box_branches." in name:
            orders[name] = _spread(TO_OURS, len(bias) // COORDINATES, COORDINATES)
        elif bias is not None:
            orders[name] = _spread(kept, len(bias) // len(kept), max(kept) + 1)
    return orders


def _spread(places: Sequence[int], anchors: int, slots: int) -> list[int]:
    return [anchor * slots + place for anchor in range(anchors) for place in places]


def _has(network: nn.Module, name: str) -> bool:
    try:
        network.get_submodule(name)
    except AttributeError:
        return False
    return True


def _is_convolution(network: nn.Module, name: str) -> bool:
    return _has(network, name) and isinstance(network.get_submodule(name), (nn.Conv2d, nn.Linear))
