"""Graphs of a few nodes, to be spoilt, and what is read of them."""

from typing import Any

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graphdef import graph_from_message
from tests.importing.graph_builder import GraphBuilder

KERNEL = np.arange(3 * 3 * 2 * 4, dtype=np.float32).reshape(3, 3, 2, 4)
CONV: dict[str, Any] = {"strides": [1, 2, 2, 1], "padding": "SAME"}


def small() -> GraphBuilder:
    """An input and constants; no operation yet."""
    builder = GraphBuilder()
    builder.placeholder("x", "float32", [None, 8, 8, 2])
    return builder


def conv_graph(**changes: Any) -> GraphBuilder:
    builder = small()
    builder.const("w", KERNEL)
    builder.node("Conv2D", "conv", ["x", "w"], **{**CONV, **changes})
    return builder


def norm_graph(op: str, **attributes: Any) -> GraphBuilder:
    builder = small()
    for name in "gbmv":
        builder.const(name, np.ones(2, np.float32))
    builder.node(op, "norm", ["x", *"gbmv"], **attributes)
    return builder


def only(builder: GraphBuilder) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    (node,) = graph_from_message(builder.message, "a").nodes
    return node.op, node.inputs, dict(node.attributes)


def refusal(builder: GraphBuilder) -> str:
    with pytest.raises(UserError) as caught:
        graph_from_message(builder.message, "here.pb")
    assert str(caught.value).startswith("here.pb: ")
    return str(caught.value)
