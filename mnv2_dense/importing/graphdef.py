"""Frozen TensorFlow graphs, read without TensorFlow: files, folders, the authors' archives."""

from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph, GraphInput, check_complete
from mnv2_dense.importing.graphdef_attributes import read_attribute, read_dtype
from mnv2_dense.importing.graphdef_constants import read_constants
from mnv2_dense.importing.graphdef_files import read_frozen
from mnv2_dense.importing.graphdef_flow import find_outputs, find_reads, is_name, sort_nodes
from mnv2_dense.importing.graphdef_message import Message, parse_message
from mnv2_dense.importing.graphdef_operations import translate

_VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "ReadVariableOp", "TemporaryVariable")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def read_graphdef(path: Path) -> Graph:
    """A frozen graph; nothing is unpacked to disk.

    Args:
        path: A `.pb` file, or a `.tar.gz`, `.tgz`, `.tar` or `.zip` archive or a folder that
            holds one `frozen_inference_graph.pb` (or one `*_frozen.pb`, as the classifiers'
            archives do).

    Raises:
        UserError: There is no frozen graph or more than one, it is damaged or too large, or
            what `graph_from_message` refuses.
    """
    return graph_from_message(parse_message(read_frozen(path), path), str(path))


def graph_from_message(message: Message, source: str) -> Graph:
    """The neutral form of a GraphDef.

    Args:
        message: `graph_pb2.GraphDef`.
        source: Its file, for messages.

    Raises:
        UserError: The graph is not frozen or not complete, or something in it is no valid
            TensorFlow or no layer that can be taken over (see `Node`).
    """
    try:
        graph = _graph(message, source)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    check_complete(graph)
    return graph


def _graph(message: Message, source: str) -> Graph:
    nodes = _by_name(message)
    _check_frozen(message)
    constants = read_constants(nodes.values())
    inputs = {name: _input(node) for name, node in nodes.items() if node.op == "Placeholder"}
    working = {
        name: node for name, node in nodes.items() if node.op not in ("Const", "Placeholder")
    }
    reads = {name: find_reads(node) for name, node in working.items()}
    outputs = find_outputs(working, reads)
    made = [
        each
        for name in sort_nodes(working, reads)
        for each in translate(working[name], reads[name], outputs[name], constants)
    ]
    read = {name for node in made for name in node.inputs}
    # What the file's nodes read and these do not became an attribute.
    attributes = {name for names in reads.values() for name in names} - read
    kept = {name: value for name, value in constants.items() if name not in attributes}
    ends = [node.outputs[0] for node in made if node.outputs and not read & {*node.outputs}]
    return Graph(source, made, kept, inputs, tuple(ends))


def _by_name(message: Message) -> dict[str, Message]:
    nodes: dict[str, Message] = {}
    for node in message.node:
        if not (is_name(node.name) and is_name(node.op)):
            raise UserError("not a TensorFlow GraphDef, or damaged: a node has no proper name")
        if node.name in nodes:
            raise UserError(f"damaged: two nodes are called {node.name}")
        nodes[node.name] = node
    return nodes


def _check_frozen(message: Message) -> None:
    functions = {function.signature.name for function in message.library.function}
    for node in message.node:
        if node.op in _VARIABLES:
            raise UserError(
                f"{node.name} is a variable, whose values are not in this file: the graph is not "
                "frozen; freeze it first (the releases hold a frozen_inference_graph.pb)"
            )
        if (
            node.op in functions
            or node.op in _CALLS
            or any(value.WhichOneof("value") == "func" for value in node.attr.values())
        ):
            raise UserError(
                f"{node.name} calls a function: not a frozen graph of layers; convert it with "
                "its functions inlined"
            )


def _input(node: Message) -> GraphInput:
    shape, dtype = read_attribute(node, "shape", "shape", None), read_dtype(node)
    if shape is None or shape.unknown_rank:
        return GraphInput(None, dtype=dtype)
    return GraphInput(tuple(dim.size if dim.size >= 0 else None for dim in shape.dim), dtype=dtype)
