"""How a graph decodes boxes: it must be as our boxes are coded."""

import math
import operator
from collections.abc import Callable, Mapping

import numpy as np

from mnv2_dense.detection.coding import BOX_SCALES
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.suppression import number
from mnv2_dense.importing.walk import KEEPING, Walk

_COORDINATES = 4
_POST_PROCESS = "detection_post_process"
_UNPACK = ("unpack", "unstack")
_PACK = ("pack", "stack")
_READING = (*_UNPACK, _POST_PROCESS)
_PROBES = (((0.3, -0.2, 0.4, -0.6), (0.1, 0.2, 0.4, 0.7)), ((9, 8, 25, 30), (0.2, 0.1, 0.3, 0.9)))
"""Box codes (ty, tx, th, tw) and anchors (ymin, xmin, ymax, xmax); large codes show clipping."""
_COMPUTE: Mapping[str, Callable[..., float]] = {
    "identity": float,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "minimum": min,
    "maximum": max,
    "exp": math.exp,
}


def check_codes(walk: Walk, concat: int) -> None:
    """Refuses box codes that are changed before they are decoded, or decoded otherwise.

    What cannot be followed is noted as assumed.

    Args:
        walk: The file's steps.
        concat: The box outputs of all levels.

    Raises:
        UserError: They are.
    """
    unpack = _find_unpack(walk, concat)
    if unpack is None:
        walk.notes.append(
            "the file does not decode boxes; codes (ty, tx, th, tw) of scales 10, 10, 5, 5 are "
            "assumed"
        )
        return
    if unpack.op == _POST_PROCESS:
        return
    check_scales(walk, _scales(walk, unpack))
    boxes = [_run(walk, unpack, *probe) for probe in _PROBES]
    if None in boxes:
        walk.notes.append(
            "the decoding of boxes cannot be followed in the file; codes (ty, tx, th, tw) are "
            "assumed"
        )
        return
    wanted = [_decode(*probe) for probe in _PROBES]
    if not np.allclose(np.array(boxes), np.array(wanted), rtol=1e-4, atol=1e-5):
        raise walk.unknown(f"{unpack.name}: its codes are not decoded as (ty, tx, th, tw)")


def check_scales(walk: Walk, scales: list[float] | None) -> None:
    """Refuses box scales (y, x, h, w) that are not ours.

    Raises:
        UserError: They are others.
    """
    if scales is None:
        walk.notes.append("box scales are not found in the file; 10, 10, 5, 5 are assumed")
        return
    x, y, width, height = BOX_SCALES
    if not np.allclose(scales, [y, x, height, width], rtol=1e-4):
        found = ", ".join(f"{scale:g}" for scale in scales)
        raise walk.unknown(f"box scales {found} instead of 10, 10, 5, 5")


def _find_unpack(walk: Walk, concat: int) -> Node | None:
    """What takes the codes apart; None in a file that ends before."""
    readers = walk.operations_behind(concat, _shapes)
    found = [walk.operation(reader).node for reader in readers]
    for node in found:
        if node.op not in _READING:
            raise walk.unknown(f"{node.name} ({node.op}) changes box codes before they are decoded")
    if len(found) > 1:
        raise walk.unknown(f"{found[0].name} and {found[1].name} both decode boxes")
    if found and found[0].op in _UNPACK and len(found[0].outputs) != _COORDINATES:
        raise walk.unknown(f"{found[0].name} takes box codes apart in {len(found[0].outputs)}")
    return found[0] if found else None


def _shapes(step: Operation) -> bool:
    return step.node.op in KEEPING or step.node.op == "transpose"


def _scales(walk: Walk, unpack: Node) -> list[float] | None:
    """Box scales (y, x, h, w): what the four parts of the box codes are divided by."""
    nodes, scales = walk.steps.graph.nodes, list[float]()
    for output in unpack.outputs:
        divided = [_divisor(walk, node, output) for node in nodes if output in node.inputs]
        scales += [each for each in divided if each is not None][:1]
    return scales if len(scales) == _COORDINATES else None


def _divisor(walk: Walk, node: Node, tensor: str) -> float | None:
    if node.op not in ("div", "mul"):
        return None
    others = [name for name in node.inputs if name != tensor]
    value = number(walk, others[0]) if len(others) == 1 else None
    if not value:
        return None
    return value if node.op == "div" else 1 / value


def _run(
    walk: Walk, unpack: Node, codes: tuple[float, ...], anchor: tuple[float, ...]
) -> list[float] | None:
    """The box (ymin, xmin, ymax, xmax) that the graph makes of one; None if it is not found."""
    values, coded = dict[str, float](), set[str](unpack.outputs)
    for node in walk.steps.graph.nodes:
        if node.op in _UNPACK and len(node.outputs) == _COORDINATES:
            given = codes if node is unpack else anchor
            values.update(zip(node.outputs, given, strict=True))
            continue
        read = [values.get(name, number(walk, name)) for name in node.inputs]
        known = [value for value in read if value is not None]
        if len(known) != len(read):
            continue
        from_codes = not coded.isdisjoint(node.inputs)
        if node.op in _PACK and from_codes and len(known) == _COORDINATES:
            return known
        result = _compute(node, known) if node.outputs else None
        if result is not None:
            values[node.outputs[0]] = result
            coded |= {*node.outputs} if from_codes else set()
    return None


def _compute(node: Node, values: list[float]) -> float | None:
    operation = _COMPUTE.get(node.op)
    try:
        return None if operation is None else operation(*values)
    except (TypeError, ZeroDivisionError, OverflowError):
        return None  # values that do not go together


def _decode(codes: tuple[float, ...], anchor: tuple[float, ...]) -> list[float]:
    """The same of ours."""
    (ty, tx, th, tw), (ymin, xmin, ymax, xmax) = codes, anchor
    scale_x, scale_y, scale_w, scale_h = BOX_SCALES
    height, width = ymax - ymin, xmax - xmin
    y, x = ymin + height / 2 + ty / scale_y * height, xmin + width / 2 + tx / scale_x * width
    half_h, half_w = height * math.exp(th / scale_h) / 2, width * math.exp(tw / scale_w) / 2
    return [y - half_h, x - half_w, y + half_h, x + half_w]
