"""All computed tables, by the number that they have in the paper."""

from collections.abc import Callable

from mnv2_dense.paper.activations import table_3
from mnv2_dense.paper.classification import table_4
from mnv2_dense.paper.detection import table_5, table_6
from mnv2_dense.paper.rows import Table
from mnv2_dense.paper.segmentation import table_7

TABLES: dict[str, Callable[[], Table]] = {
    "3": table_3,
    "4": table_4,
    "5": table_5,
    "6": table_6,
    "7": table_7,
}
