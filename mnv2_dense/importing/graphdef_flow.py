"""Which tensors the nodes of a TensorFlow graph read and make, and in which order."""

import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import MAX_NAME
from mnv2_dense.importing.graphdef_message import Message

_NAME = re.compile(r"[\w.][\w./>\\-]*", re.ASCII)
_WITHOUT_OUTPUT = ("NoOp", "Assert")


def is_name(text: str) -> bool:
    """Whether a node or an operation may be called so."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def find_reads(node: Message) -> tuple[str, ...]:
    """The tensors that a node reads; control inputs are none.

    A node's first output is called as the node, its others `node:1` and so on.

    Raises:
        UserError: One has no proper name.
    """
    return tuple(_tensor(node, each) for each in node.input if not each.startswith("^"))


def _tensor(node: Message, reference: str) -> str:
    name, _, index = reference.partition(":")
    if not (is_name(name) and re.fullmatch("[0-9]{0,4}", index)):
        raise UserError(f"damaged: {node.name} reads something without a proper name")
    return _output(name, int(index or 0))


def _output(name: str, index: int) -> str:
    return f"{name}:{index}" if index else name


def find_outputs(
    nodes: Mapping[str, Message], reads: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """By node, its first output and every other that is read.

    Args:
        nodes: By name.
        reads: By node, what `find_reads` found.
    """
    used: defaultdict[str, set[int]] = defaultdict(lambda: {0})
    for tensors in reads.values():
        for tensor in tensors:
            name, _, index = tensor.partition(":")
            used[name].add(int(index or 0))
    return {
        name: ()
        if node.op in _WITHOUT_OUTPUT
        else tuple(_output(name, index) for index in sorted(used[name]))
        for name, node in nodes.items()
    }


def sort_nodes(nodes: Mapping[str, Message], reads: Mapping[str, Sequence[str]]) -> list[str]:
    """Names in data-flow order; a loop of TensorFlow 1 is entered at its Merge.

    Args:
        nodes: By name.
        reads: By node, what `find_reads` found.

    Raises:
        UserError: Nodes wait for one another.
    """
    waits_for = {name: _producers(name, nodes, reads[name]) for name in nodes}
    feeds: defaultdict[str, list[str]] = defaultdict(list)
    for name, befores in waits_for.items():
        for before in befores:
            feeds[before].append(name)
    ready = deque(name for name, befores in waits_for.items() if not befores)
    ordered: list[str] = []
    while ready:
        name = ready.popleft()
        ordered.append(name)
        for after in feeds[name]:
            waits_for[after].discard(name)
            if not waits_for[after]:
                ready.append(after)
    if len(ordered) < len(nodes):
        left = next(name for name, befores in waits_for.items() if befores)
        raise UserError(f"damaged: {left} is part of a circle of nodes, or behind one")
    return ordered


def _producers(name: str, nodes: Mapping[str, Message], reads: Sequence[str]) -> set[str]:
    """The nodes that must come before one."""
    befores = {tensor.partition(":")[0] for tensor in reads} & nodes.keys()
    if nodes[name].op != "Merge":
        return befores
    return {before for before in befores if nodes[before].op != "NextIteration"}
