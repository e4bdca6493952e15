"""A confusion matrix as a table: every row in per cent of its class."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.pages.markup import element, shorten

NUMBERED = 22
"""Classes up to which the per cents can be read in the cells."""
MOST_CLASSES = 100
"""Of more, those that are confused most are shown."""
CONFUSIONS = 10

_LEVELS = 10


class Confusions(NamedTuple):
    """A confusion matrix with its names.

    Attributes:
        counts: By true class (row) and predicted class (column), [C, C].
        names: Of the rows.
        columns: Of the columns: "missed" where the row is "nothing there".
        unit: What is counted: `pixels`, `objects`.
    """

    counts: NDArray[np.int64]
    names: Sequence[str]
    columns: Sequence[str]
    unit: str


def draw_matrix(matrix: Confusions) -> list[Element]:
    """The table, and the most frequent confusions in words."""
    total = len(matrix.names)
    shown = _choose(matrix.counts) if total > MOST_CLASSES else np.arange(total)
    hints = [
        f"Rows are true classes, columns what was predicted; a cell is the share of its row's "
        f"{matrix.unit} in per cent."
    ]
    if total > len(shown):
        hints.append(f"Of {total:,} classes the {len(shown)} that are confused most are shown.")
    worst = _list_confusions(matrix)
    return [
        element("p", " ".join(hints), class_="hint"),
        element("div", _table(matrix, shown), class_="scroll", tabindex=0),
        *([element("h4", "Most frequent confusions"), worst] if len(worst) else []),
    ]


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares [C, C] of each row's sum; zeros in a row without any."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def _choose(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes with the most confusions, in their order."""
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    return np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])


def _table(matrix: Confusions, shown: NDArray[np.int64]) -> Element:
    shares = row_shares(matrix.counts)
    head = element(
        "tr",
        element("th", "true class", scope="col"),
        *(_column_name(matrix.columns[place]) for place in shown),
        element("th", matrix.unit, scope="col", class_="total"),
    )
    rows = (
        element(
            "tr",
            element("th", element("bdi", shorten(matrix.names[row])), scope="row"),
            *(_cell(shares[row, column], right=row == column) for column in shown),
            element("td", f"{int(matrix.counts[row].sum()):,}", class_="total"),
        )
        for row in shown
    )
    style = "matrix" if len(shown) <= NUMBERED else "matrix dense"
    return element("table", element("thead", head), element("tbody", *rows), class_=style)


def _column_name(name: str) -> Element:
    return element("th", element("bdi", shorten(name)), scope="col", class_="upright")


def _cell(share: float, *, right: bool) -> Element:
    level = round(share * _LEVELS)
    kind = "right" if right else "wrong"
    style = f"{kind} level-{level}" if level or share >= 0.005 else None
    return element("td", f"{100 * share:.0f}" if share >= 0.005 else "", class_=style)


def _list_confusions(matrix: Confusions) -> Element:
    """The largest cells off the diagonal."""
    wrong = matrix.counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    shares = row_shares(matrix.counts)
    lines = []
    for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if not wrong[row, column]:
            break
        count = f": {int(wrong[row, column]):,} {matrix.unit} ({shares[row, column]:.1%})"
        names = (matrix.names[row], matrix.columns[column])
        one, other = (element("bdi", shorten(name)) for name in names)
        lines.append(element("li", one, " → ", other, count))
    return element("ol", *lines, class_="confusions")
