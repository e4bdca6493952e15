"""Histograms on the page: upright bars for ranges of a quantity, a list of bars for classes."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from mnv2_dense.inspection.report import Histogram
from mnv2_dense.pages.charts import color_class, color_key, place_text, px, shorten_count
from mnv2_dense.pages.markup import element, shorten

SHOWN_CLASSES = 100
"""Of more than twice as many classes, this many of the largest and of the smallest are shown."""

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
            element(
                "figcaption", color_key(place), element("bdi", split), f" · {sum(counts):,} in all"
            ),
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
            parts.append(place_text(shorten_count(count), left + slot / 2, above, class_="value"))
        if bin_ % math.ceil(len(labels) / _MOST_LABELS) == 0:
            parts.append(_label(label, left + slot / 2, floor + 15, turned))
    return element(
        "svg",
        element("title", name),
        place_text("count", _LEFT - 6, 10, class_="tick"),
        *parts,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=name,
    )


def _bar(left: float, slot: float, floor: float, height: float, title: str, place: int) -> Element:
    """A bar, and over its whole slot what it says when it is pointed at."""
    height = max(height, 1.0) if height else 0.0
    box = {"x": px(left + slot * 0.1), "width": px(slot * 0.8), "rx": 2}
    return element(
        "g",
        element("title", title),
        element("rect", x=px(left), y=_TOP, width=px(slot), height=px(floor - _TOP), class_="hit"),
        element("rect", y=px(floor - height), height=px(height), class_=color_class(place), **box),
    )


def _grid_line(tick: int, height: float) -> Element:
    line = element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=px(height), y2=px(height))
    return element(
        "g", line, place_text(shorten_count(tick), _LEFT - 6, height + 3.5, class_="tick")
    )


def _label(label: str, x: float, y: float, turned: bool) -> Element:
    if not turned:
        return place_text(label, x, y, class_="label")
    x, y = x + 4, y - 4
    return place_text(label, x, y, class_="label turned", transform=f"rotate(-45 {px(x)} {px(y)})")


def _class_bars(histogram: Histogram) -> list[Element]:
    """Classes with a bar per split, the most frequent first."""
    order = sorted(
        range(len(histogram.labels)),
        key=lambda label: -sum(counts[label] for counts in histogram.counts.values()),
    )
    legend = (
        element("li", color_key(place), element("bdi", split), f" · {sum(counts):,} in all")
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
        bar = element("rect", width=f"{share:.2f}%", height="100%", rx=2, class_=color_class(place))
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


def _ticks(most: int) -> list[int]:
    """Round numbers from 0 to at least `most`, three to six of them."""
    if most <= 0:
        return [0, 1]
    power = 10 ** max(0, math.floor(math.log10(most / 4)) if most > 4 else 0)
    step = next(power * times for times in (1, 2, 5, 10) if power * times * 5 >= most)
    return list(range(0, most + step, step))
