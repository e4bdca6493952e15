"""Lines over steps, or over recall, as a drawing that needs no script."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from mnv2_dense.pages.charts import color_class, color_key, place_text, px
from mnv2_dense.pages.markup import element, shorten

MOST_POINTS = 300
"""Of a line; of more, the least and the largest of every stretch are drawn."""
TABLE_ROWS = 20

_WIDTH, _HEIGHT = 380, 220
_LEFT, _RIGHT, _TOP, _FLOOR = 50, 10, 10, 185


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        name: What it is of.
        xs: Ascending.
        ys: One per x.
        color: Place of its colour, from 0; None draws it thin and gray, behind the others.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: int | None = 0


class Axes(NamedTuple):
    """What a chart shows.

    Attributes:
        x_name: What lies along it.
        x_range: From and to; None takes that of the lines.
        y_range: The same upwards.
    """

    x_name: str = "step"
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


STEPS = Axes()


def draw_lines(title: str, lines: Sequence[Line], axes: Axes = STEPS, hint: str = "") -> Element:
    """A chart with its legend, and under it a table of some of its numbers.

    Args:
        title: Of the chart.
        lines: Each with one point at least.
        axes: What it shows.
        hint: A sentence under the title.
    """
    named = [line for line in lines if line.color is not None]
    caption = element("figcaption", element("b", title))
    if hint:
        caption.append(element("span", hint, class_="hint"))
    parts = [caption]
    if len(named) > 1 or named[0].name != title:
        parts.append(_legend(named))
    return element("figure", *parts, _draw(title, lines, axes), _numbers(named, axes))


def decimate(xs: Sequence[float], ys: Sequence[float], most: int) -> list[tuple[float, float]]:
    """The points, or of many the least and the largest of every stretch: no peak is lost.

    Args:
        xs: Ascending.
        ys: One per x.
        most: Points to return at most; 2 at least.
    """
    count = len(xs)
    if count <= most:
        return list(zip(xs, ys, strict=True))
    stretches = most // 2
    kept: set[int] = set()
    for stretch in range(stretches):
        places = range(count * stretch // stretches, count * (stretch + 1) // stretches)
        kept |= {min(places, key=ys.__getitem__), max(places, key=ys.__getitem__)}
    return [(xs[place], ys[place]) for place in sorted(kept)]


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers, `most` at most, the first at or below `low`, the last at or above `high`."""
    if not high > low:
        # Nothing to measure by: one round step on each side.
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    power = 10.0 ** (math.floor(math.log10((high - low) / most)) - 1)
    for times in (10, 20, 50, 100, 200, 500):
        step = power * times
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [round(place * step, 12) for place in range(first, last + 1)]


def _draw(title: str, lines: Sequence[Line], axes: Axes) -> Element:
    xs = axes.x_range or _range([x for line in lines for x in line.xs])
    ys = axes.y_range or _range([y for line in lines for y in line.ys])
    upward = nice_ticks(*ys)
    along = [tick for tick in nice_ticks(*xs) if xs[0] <= tick <= xs[1]]
    bottom, top = upward[0], upward[-1]
    across = (_WIDTH - _LEFT - _RIGHT) / ((xs[1] - xs[0]) or 1)
    rise = (_FLOOR - _TOP) / (top - bottom)
    parts = [_grid_line(tick, _FLOOR - (tick - bottom) * rise) for tick in upward]
    for tick in along:
        x = _LEFT + (tick - xs[0]) * across
        parts.append(place_text(_number(tick), x, _FLOOR + 15, class_="label"))
    parts.append(place_text(axes.x_name, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4))
    for line in sorted(lines, key=lambda line: line.color is not None):
        points = (
            (_LEFT + (x - xs[0]) * across, _FLOOR - (y - bottom) * rise)
            for x, y in decimate(line.xs, line.ys, MOST_POINTS)
        )
        parts.append(_draw_line(line, list(points)))
    name = f"{title}: {_said(lines)}"
    size = f"0 0 {_WIDTH} {_HEIGHT}"
    return element(
        "svg", element("title", title), *parts, viewBox=size, role="img", aria_label=name
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _draw_line(line: Line, points: Sequence[tuple[float, float]]) -> Element:
    style = "line faint" if line.color is None else f"line {color_class(line.color)}"
    title = element("title", shorten(line.name))
    if len(points) == 1:
        ((x, y),) = points
        return element("circle", title, cx=px(x), cy=px(y), r=3, class_=style)
    path = " ".join(f"{px(x)},{px(y)}" for x, y in points)
    return element("polyline", title, points=path, class_=style)


def _grid_line(tick: float, height: float) -> Element:
    line = element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=px(height), y2=px(height))
    return element("g", line, place_text(_number(tick), _LEFT - 6, height + 3.5, class_="tick"))


def _legend(lines: Sequence[Line]) -> Element:
    entries = (
        element("li", color_key(line.color or 0), element("bdi", shorten(line.name)))
        for line in lines
    )
    return element("ul", *entries, class_="legend")


def _said(lines: Sequence[Line]) -> str:
    """The chart in words, for those who do not see it."""
    return "; ".join(
        f"{shorten(line.name)} from {line.ys[0]:.4g} to {line.ys[-1]:.4g}, "
        f"between {min(line.ys):.4g} and {max(line.ys):.4g}"
        for line in lines
        if line.color is not None
    )


def _numbers(lines: Sequence[Line], axes: Axes) -> Element:
    """The lines' values at some of their places: first, last, and evenly between."""
    xs = sorted({x for line in lines for x in line.xs})
    kept = [xs[round(place * (len(xs) - 1) / (TABLE_ROWS - 1))] for place in range(TABLE_ROWS)]
    known = [dict(zip(line.xs, line.ys, strict=True)) for line in lines]
    rows = (
        element(
            "tr",
            element("th", _number(x), scope="row"),
            *(element("td", f"{own[x]:.4g}" if x in own else "-") for own in known),
        )
        for x in dict.fromkeys(kept)
    )
    names = (element("th", element("bdi", shorten(line.name)), scope="col") for line in lines)
    head = element("thead", element("tr", element("th", axes.x_name, scope="col"), *names))
    table = element("table", head, element("tbody", *rows))
    return element("details", element("summary", "Numbers"), element("div", table, class_="scroll"))


def _number(value: float) -> str:
    """`0.25`, `1,000`, `1e-05`."""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1000 else f"{value:.6g}"
