"""What the sections of the page are put together from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from xml.etree.ElementTree import Element

from mnv2_dense.pages.charts import color_class
from mnv2_dense.pages.markup import element, shorten

Cell = str | Element
Row = TypeVar("Row")

SHOWN_CLASSES = 200
"""Rows of a table of classes: of more, the best and the worst."""


def section(title: str, *children: Element, key: str) -> Element:
    """A section that can be linked to by its key."""
    return element("section", element("h2", title), *children, id=key)


def card(*children: Element) -> Element:
    """A box of its own."""
    return element("div", *children, class_="plot")


def hint(text: str) -> Element:
    """A sentence of explanation."""
    return element("p", text, class_="hint")


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], style: str = "facts") -> Element:
    """A table whose first column names the rows; it scrolls where the window is narrow.

    Every cell knows its column's name, to show it where there is no room for columns.
    """
    head = element("tr", *(element("th", name, scope="col") for name in heads))
    body = (
        element(
            "tr",
            element("th", _shown(first), scope="row"),
            *(
                element("td", _shown(cell), data_column=name)
                for name, cell in zip(heads[1:], rest, strict=True)
            ),
        )
        for first, *rest in rows
    )
    drawn = element("table", element("thead", head), element("tbody", *body), class_=style)
    return element("div", drawn, class_="scroll", tabindex=0)


def choose_rows(values: Mapping[Row, object]) -> tuple[list[Row], str]:
    """The rows of a table of classes, the best first.

    Args:
        values: The score of every row; of too many rows those without one go first.

    Returns:
        The rows, and a sentence on those that are left out, if any.
    """
    rows = sorted(values, key=lambda row: -order_of(values[row]))
    if len(rows) <= SHOWN_CLASSES:
        return rows, ""
    scored = [row for row in rows if order_of(values[row]) >= 0]
    left = [(len(rows) - len(scored), "without objects")]
    if (between := len(scored) - SHOWN_CLASSES) > 0:
        half = SHOWN_CLASSES // 2
        scored = [*scored[:half], *scored[-half:]]
        left.append((between, "between"))
    told = " and ".join(
        f"{count:,} {'class' if count == 1 else 'classes'} {which}"
        for count, which in left
        if count
    )
    return scored, f" In metrics.json alone: {told}."


def tiles(values: Sequence[tuple[str, str]]) -> Element:
    """Large numbers, each under its name."""
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", element("bdi", shorten(value))))
            for name, value in values
        ),
        class_="tiles",
    )


def bar(share: float, shown: str, color: int = 0) -> Element:
    """A bar with its number.

    Args:
        share: Of the full width, in [0, 1].
        shown: The number.
        color: Place of its colour.
    """
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}%"
    drawn = element("rect", width=width, height="100%", rx=2, class_=color_class(color))
    track = element("svg", drawn, class_="track", aria_hidden="true")
    return element("div", track, element("span", shown), class_="bar")


def score_bar(value: object, color: int = 0) -> Element:
    """A score in [0, 1] as a bar."""
    return bar(order_of(value), score(value), color)


def score(value: object) -> str:
    """A score in [0, 1]; a dash where there was nothing to measure, or what a file says is none."""
    number = order_of(value)
    return f"{number:.3f}" if number >= 0 else "-"


def order_of(value: object) -> float:
    """A score as a number to sort by; -1 where there is none."""
    is_score = isinstance(value, int | float) and 0 <= value <= 1
    return float(value) if is_score else -1.0


def named(text: str) -> Element:
    """A name of the user's, of whatever direction of writing."""
    return element("bdi", shorten(text))


def _shown(cell: Cell) -> Cell:
    return named(cell) if isinstance(cell, str) else cell
