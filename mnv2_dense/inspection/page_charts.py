"""Histograms on the page: upright bars for ranges of a quantity, a list of bars for classes."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from mnv2_dense.inspection.markup import element, shorten
from mnv2_dense.inspection.report import Histogram

SHOWN_CLASSES = 100
"""Of more than twice as many classes, this many of the largest and of the smallest are shown."""

COLORS = 6
"""Splits that have a colour of their own; then they begin again."""

_WIDTH, _HEIGHT = 380, 220
_LEFT, _RIGHT, _TOP = 44, 4, 22
_LETTER = 6.4  # width of a letter of an axis
_COUNTED_BARS = 10  # with more of them, counts above the bars would touch
_MOST_LABELS = 25


def draw_histogram(histogram: Histogram) -> Element:
    """A histogram with a plot per split and its numbers as a table."""
    if histogram.ordered:
        plots = [*_panels(histogram), _numbers(histogram)]
    else:
        plots = _class_bars(histogram)
    return element("div", element("h3", histogram.title), *plots, class_="plot")


def _panels(histogram: Histogram) -> list[Element]:
    """A panel per split with its own scale: splits differ in size, their shapes can be compared."""
    panels = (
        element(
            "figure",
            element("figcaption", _key(place), element("bdi", split), f" · {sum(counts):,} in all"),
            _panel(histogram.labels, counts, place, f"{histogram.title}, {split}"),
        )
        for place, (split, counts) in enumerate(histogram.counts.items())
    )
    return [element("div", *panels, class_="panels")]


def _panel(labels: Sequence[str], counts: Sequence[int], place: int, name: str) -> Element:
    slot = (_WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    letters = max(map(len, labels), default=0)
    turned = letters * _LETTER > slot
    floor = _HEIGHT - (min(12 + letters * _LETTER * 0.7, 80) if turned else 22)
    ticks = _ticks(max(counts, default=0))
    scale = (floor - _TOP) / ticks[-1]
    parts = [_grid_line(tick, floor - tick * scale) for tick in ticks]
    for bin_, (label, count) in enumerate(zip(labels, counts, strict=True)):
        left = _LEFT + bin_ * slot
        parts.append(_bar(left, slot, floor, count * scale, f"{label}: {count:,}", place))
        if len(labels) <= _COUNTED_BARS:
            above = floor - count * scale - 4
            parts.append(_text(_short(count), left + slot / 2, above, class_="value"))
        if bin_ % math.ceil(len(labels) / _MOST_LABELS) == 0:
            parts.append(_label(label, left + slot / 2, floor + 15, turned))
    return element(
        "svg",
        element("title", name),
        _text("count", _LEFT - 6, 10, class_="tick"),
        *parts,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=name,
    )


def _bar(left: float, slot: float, floor: float, height: float, title: str, place: int) -> Element:
    """A bar, and over its whole slot what it says when it is pointed at."""
    height = max(height, 1.0) if height else 0.0
    box = {"x": _px(left + slot * 0.1), "width": _px(slot * 0.8), "rx": 2}
    return element(
        "g",
        element("title", title),
        element(
            "rect", x=_px(left), y=_TOP, width=_px(slot), height=_px(floor - _TOP), class_="hit"
        ),
        element("rect", y=_px(floor - height), height=_px(height), class_=_color(place), **box),
    )


def _grid_line(tick: int, height: float) -> Element:
    line = element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_px(height), y2=_px(height))
    return element("g", line, _text(_short(tick), _LEFT - 6, height + 3.5, class_="tick"))


def _label(label: str, x: float, y: float, turned: bool) -> Element:
    if not turned:
        return _text(label, x, y, class_="label")
    x, y = x + 4, y - 4
    return _text(label, x, y, class_="label turned", transform=f"rotate(-45 {_px(x)} {_px(y)})")


def _text(text: str, x: float, y: float, **attributes: str) -> Element:
    return element("text", text, x=_px(x), y=_px(y), **attributes)


def _class_bars(histogram: Histogram) -> list[Element]:
    """Classes with a bar per split, the most frequent first."""
    order = sorted(
        range(len(histogram.labels)),
        key=lambda label: -sum(counts[label] for counts in histogram.counts.values()),
    )
    legend = (
        element("li", _key(place), element("bdi", split), f" · {sum(counts):,} in all")
        for place, (split, counts) in enumerate(histogram.counts.items())
    )
    rows = [_class_row(histogram, label) for label in _ends(order)]
    hidden = len(order) - len(rows)
    if hidden:
        text = f"{hidden:,} classes between these are in report.json"
        rows.insert(SHOWN_CLASSES, element("li", text, class_="between"))
    hint = "Most frequent first; each bar is relative to its split's most frequent class."
    return [
        element("p", hint, class_="hint"),
        element("ul", *legend, class_="legend"),
        element("ol", *rows, class_="classes"),
    ]


def _ends(order: list[int]) -> list[int]:
    if len(order) <= 2 * SHOWN_CLASSES:
        return order
    return order[:SHOWN_CLASSES] + order[-SHOWN_CLASSES:]


def _class_row(histogram: Histogram, label: int) -> Element:
    tracks = []
    for place, (split, counts) in enumerate(histogram.counts.items()):
        share = 100 * counts[label] / max(*counts, 1)
        bar = element("rect", width=f"{share:.2f}%", height="100%", rx=2, class_=_color(place))
        number = element("span", f"{counts[label]:,}", class_="number" if counts[label] else "none")
        told = element("span", f"{split}: ", class_="unseen")
        tracks.append(element("div", told, element("svg", bar, aria_hidden="true"), number))
    name = element("bdi", shorten(histogram.labels[label]))
    return element("li", element("span", name, class_="name"), element("div", *tracks))


def _numbers(histogram: Histogram) -> Element:
    splits = (element("th", element("bdi", split), scope="col") for split in histogram.counts)
    rows = (
        element(
            "tr", element("th", label, scope="row"), *(element("td", f"{n:,}") for n in numbers)
        )
        for label, *numbers in zip(histogram.labels, *histogram.counts.values(), strict=True)
    )
    head = element("thead", element("tr", element("th", "Range", scope="col"), *splits))
    table = element("table", head, element("tbody", *rows))
    return element("details", element("summary", "Numbers"), element("div", table, class_="scroll"))


def _key(place: int) -> Element:
    """The square of a split's colour."""
    square = element("rect", width=12, height=12, rx=2, class_=_color(place))
    return element("svg", square, class_="key", viewBox="0 0 12 12", aria_hidden="true")


def _color(place: int) -> str:
    return f"split-{place % COLORS}"


def _ticks(most: int) -> list[int]:
    """Round numbers from 0 to at least `most`, three to six of them."""
    if most <= 0:
        return [0, 1]
    power = 10 ** max(0, math.floor(math.log10(most / 4)) if most > 4 else 0)
    step = next(power * times for times in (1, 2, 5, 10) if power * times * 5 >= most)
    return list(range(0, most + step, step))


def _short(count: int) -> str:
    """`950`, `12k`, `1.2M`."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= 10 * size or (count >= size and unit == "M"):
            return f"{count / size:.3g}{unit}"
    return f"{count:,}"


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
