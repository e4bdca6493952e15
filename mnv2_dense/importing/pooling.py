"""Pooling over the whole picture, and what it says of the network's input."""

from mnv2_dense.importing.steps import Operation
from mnv2_dense.importing.walk import Walk
from mnv2_dense.structures import ImageSize

POOLING = ("mean", "avg_pool")


def pooling_after(walk: Walk, number: int) -> list[int]:
    """The steps that pool the output of a step."""
    readers = walk.operations_after(number)
    return [reader for reader in readers if walk.operation(reader).node.op in POOLING]


def pooled_cells(pooling: Operation) -> ImageSize | None:
    """Size of the map that is pooled, where the file fixes it."""
    # A mean's attributes may have any name and type.
    pools = pooling.node.op == "avg_pool"
    return ImageSize(*pooling.node.attributes["kernel"]) if pools else None


def count_cells(size: ImageSize, stride: int) -> ImageSize:
    """Size of a map: every halving rounds up."""
    return ImageSize(-(-size.height // stride), -(-size.width // stride))


def _is_over_all(pooling: Operation) -> bool:
    """Whether one cell is left of a map as large as the pooling's window."""
    node = pooling.node
    if node.op == "mean":
        axes = pooling.constants.get(1)
        if axes is None or axes.value.size != 2 or axes.value.dtype.kind not in "iu":
            return False
        return sorted(int(axis) % 4 for axis in axes.value.ravel()) == [1, 2]
    sides = zip(node.attributes["strides"], node.attributes["kernel"], strict=True)
    return node.attributes["padding"] == "valid" or all(stride >= side for stride, side in sides)


def check_pooling(walk: Walk, number: int, size: ImageSize, stride: int) -> None:
    """Refuses a pooling that does not see the whole map of a network's input.

    Raises:
        UserError: It sees less, or more.
    """
    pooling = walk.operation(number)
    if not _is_over_all(pooling):
        raise walk.unknown(f"{pooling.node.name} does not pool over height and width to one cell")
    cells, wanted = pooled_cells(pooling), count_cells(size, stride)
    if cells is not None and cells != wanted:
        raise walk.unknown(
            f"{pooling.node.name} pools {cells.height}x{cells.width} of "
            f"{wanted.height}x{wanted.width} cells"
        )
