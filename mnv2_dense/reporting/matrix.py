"""A confusion matrix as a table: every row in per cent of its class."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.pages.markup import count_of, element, shorten

NUMBERED = 22
"""Classes up to which the per cents can be read in the cells."""
MOST_CLASSES = 100
"""Of more, those that are confused most are shown."""
CONFUSIONS = 10
"""Told in words, at most, of each kind."""

_LEVELS = 10


class Confusions(NamedTuple):
    """A confusion matrix with its names.

    Attributes:
        counts: By true class (row) and predicted class (column), [C, C].
        names: Of the rows.
        columns: Of the columns: "missed" where the row is "nothing there".
        unit: What is counted: `pixel`, `object`.
        with_nothing: Whether the last row and column are no class but stand for nothing: the column
            has the objects that are not found, the row the detections that got no object.
    """

    counts: NDArray[np.int64]
    names: Sequence[str]
    columns: Sequence[str]
    unit: str
    with_nothing: bool = False

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.names) - self.with_nothing


def draw_matrix(matrix: Confusions) -> list[Element]:
    """The table, and the most frequent confusions in words."""
    hints = [
        f"Rows are true classes, columns what was predicted; a cell is the share of its row's "
        f"{matrix.unit}s in per cent."
    ]
    if matrix.classes > MOST_CLASSES:
        hints.append(
            f"Of {matrix.classes:,} classes the {MOST_CLASSES} that are confused most are shown."
        )
    parts = [
        element("p", " ".join(hints), class_="hint"),
        element("div", _table(matrix, _choose(matrix)), class_="scroll", tabindex=0),
    ]
    for title, lines in _tell(matrix):
        if lines:
            parts += [element("h4", title), element("ol", *lines, class_="confusions")]
    return parts


def row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares [C, C] of each row's sum; zeros in a row without any."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def _choose(matrix: Confusions) -> NDArray[np.int64]:
    """The classes with the most confusions, in their order, and nothing if that is counted."""
    counts = matrix.counts
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    order = np.argsort(-wrong[: matrix.classes], kind="stable")[:MOST_CLASSES]
    return np.sort(np.append(order, np.arange(matrix.classes, len(counts))))


def _table(matrix: Confusions, shown: NDArray[np.int64]) -> Element:
    shares = row_shares(matrix.counts)
    head = element(
        "tr",
        element("th", "true class", scope="col"),
        *(_column_name(matrix.columns[place]) for place in shown),
        element("th", f"{matrix.unit}s", scope="col", class_="total"),
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


def _tell(matrix: Confusions) -> Iterator[tuple[str, list[Element]]]:
    """The largest cells that are wrong, by their kind: titles and lines."""
    yield "Most frequent confusions of classes", list(_tell_confused(matrix))
    if matrix.with_nothing:
        yield "Most often not found", list(_tell_missed(matrix))
        yield "Most detections without an object", list(_tell_unfounded(matrix))


def _tell_confused(matrix: Confusions) -> Iterator[Element]:
    wrong = matrix.counts[: matrix.classes, : matrix.classes].copy()
    np.fill_diagonal(wrong, 0)
    for row, column in _largest(wrong):
        names = matrix.names[row], matrix.columns[column]
        yield _line(matrix, row, column, matrix.unit, *names)


def _tell_missed(matrix: Confusions) -> Iterator[Element]:
    nothing = matrix.classes
    for row, _ in _largest(matrix.counts[:nothing, nothing:]):
        yield _line(matrix, row, nothing, matrix.unit, matrix.names[row])


def _tell_unfounded(matrix: Confusions) -> Iterator[Element]:
    nothing = matrix.classes
    for _, column in _largest(matrix.counts[nothing:, :nothing]):
        yield _line(matrix, nothing, column, "detection", matrix.columns[column])


def _largest(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Row and column of the largest numbers, none of them 0."""
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    places = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [(int(row), int(column)) for row, column in places if counts[row, column]]


def _line(matrix: Confusions, row: int, column: int, unit: str, *names: str) -> Element:
    """A cell in words, after the names that it is of."""
    count = int(matrix.counts[row, column])
    share = count / int(matrix.counts[row].sum())
    first, *others = (element("bdi", shorten(name)) for name in names)
    arrows = (part for other in others for part in (" → ", other))
    return element("li", first, *arrows, f": {count_of(count, unit)} ({share:.1%})")
