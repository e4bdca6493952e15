"""What every chart is drawn with: places, texts, colours."""

from xml.etree.ElementTree import Element

from mnv2_dense.pages.markup import element

COLORS = 6
"""Things that have a colour of their own; then the colours begin again."""


def px(value: float) -> str:
    """A place in a chart, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def place_text(written: str, x: float, y: float, **attributes: str) -> Element:
    """A text at a place of a chart."""
    return element("text", written, x=px(x), y=px(y), **attributes)


def shorten_count(count: int) -> str:
    """`950`, `12k`, `1.2M`."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= 10 * size or (count >= size and unit == "M"):
            return f"{count / size:.3g}{unit}"
    return f"{count:,}"


def color_class(place: int) -> str:
    """The style's class of the colour of the nth thing, from 0."""
    return f"split-{place % COLORS}"


def color_key(place: int) -> Element:
    """The square of a colour, for a legend."""
    square = element("rect", width=12, height=12, rx=2, class_=color_class(place))
    return element("svg", square, class_="key", viewBox="0 0 12 12", aria_hidden="true")
