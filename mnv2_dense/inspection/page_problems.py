"""Problems on the page: by kind, with what to do, the first places and pictures of the worst."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from PIL import Image

from mnv2_dense.formats.problems import Level, Problem, group, total
from mnv2_dense.inspection.report import Example
from mnv2_dense.ops.texts import LISTED
from mnv2_dense.pages.embedding import embed
from mnv2_dense.pages.markup import count_of, element, shorten

LEVEL_NAMES = {Level.NOTE: "Note", Level.PROBLEM: "Problem", Level.ERROR: "Error"}

PICTURE_SIDE = 320
"""Pixels of a picture's longer side, at most."""

UNFOLDED = 200
"""Places of one title on the page, most of them folded; `report.json` has them all."""

TITLES = 50
"""Titles of one kind on the page: some kinds have one for every file."""

SHORT = 24
"""Letters of places that stand beside each other: ids, most file names."""

_MEANINGS = {
    Level.NOTE: "Notes are good to know; nothing is lost.",
    Level.PROBLEM: "With problems training works, but something is left out, changed or doubtful.",
    Level.ERROR: "With errors training refuses the data until they are corrected.",
}
_CIRCLE = "M12 2a10 10 0 1 0 .001 0z"
_SYMBOLS = {
    "clean": (_CIRCLE, "M7 12.5l3.4 3.4L17 8.8"),
    "note": (_CIRCLE, "M12 7v.2M12 11v6"),
    "problem": ("M12 2.6L23 21.4H1z", "M12 9.5v5.2M12 18v.2"),
    "error": (
        "M7.9 2h8.2L22 7.9v8.2L16.1 22H7.9L2 16.1V7.9z",
        "M8.4 8.4l7.2 7.2M15.6 8.4l-7.2 7.2",
    ),
}
"""Outline and mark: tick, i, bang and cross are told apart without their colours."""


def draw_problems(problems: Sequence[Problem], examples: Sequence[Example]) -> Element:
    """All problems by kind, the worst first, and pictures of each kind."""
    kinds: dict[str, list[Problem]] = {example.kind: [] for example in examples}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    levels = {kind: max((found.level for found in kinds[kind]), default=None) for kind in kinds}
    ordered = sorted(kinds, key=lambda kind: (-(levels[kind] or 0), -len(kinds[kind]), kind))
    cards = [
        _card(kind, levels[kind], kinds[kind], [each for each in examples if each.kind == kind])
        for kind in ordered
    ]
    shown = sorted({level for level in levels.values() if level is not None}, reverse=True)
    return element(
        "section",
        element("h2", "Findings"),
        element("p", " ".join(_MEANINGS[level] for level in shown), class_="hint"),
        *(_filter(shown) if len(shown) > 1 else []),
        *(cards or [element("p", "Nothing was found.", class_="hint")]),
        class_="findings",
    )


def icon(name: str) -> Element:
    """The symbol of `clean` or of a level."""
    outline, mark = _SYMBOLS[name]
    return element(
        "svg",
        element("path", d=outline, class_="outline"),
        element("path", d=mark, class_="mark"),
        viewBox="0 0 24 24",
        class_="icon",
        aria_hidden="true",
    )


def _filter(levels: Iterable[Level]) -> list[Element]:
    """Buttons that leave one level's cards; the style sheet does it."""
    choices = [
        ("all", "All"),
        *((level.name.lower(), f"{LEVEL_NAMES[level]}s") for level in levels),
    ]
    buttons = (
        element(
            "label",
            element("input", type="radio", name="level", id=f"only-{key}", checked=key == "all"),
            text,
        )
        for key, text in choices
    )
    return [element("div", *buttons, class_="filter", role="group", aria_label="Show")]


def _card(
    kind: str, level: Level | None, problems: Sequence[Problem], examples: Sequence[Example]
) -> Element:
    top = [element("h3", kind.replace("_", " ").capitalize())]
    parts = []
    if level is not None:
        badge = element("span", LEVEL_NAMES[level], class_="badge")
        count = element("span", count_of(total(problems), "case"), class_="count")
        top = [icon(level.name.lower()), *top, badge, count]
    groups = list(group(problems).values())
    parts += [_group(found) for found in groups[:TITLES]]
    if len(groups) > TITLES:
        parts.append(element("p", f"and {_more(len(groups) - TITLES)}", class_="hint"))
    if examples:
        parts.append(element("div", *map(_figure, examples), class_="pictures"))
    name = "none" if level is None else level.name.lower()
    return element(
        "article",
        element("div", *top, class_="top"),
        *parts,
        class_=f"card level-{name}",
        id=f"kind-{kind}",
    )


def _group(found: Sequence[Problem]) -> Element:
    """The problems of one title."""
    title, remedy = found[0].title.rstrip(" :"), found[0].remedy.strip(" .;,")
    places = [problem.place for problem in found if problem.place]
    count = total(problem for problem in found if problem.place)
    parts = [element("h4", shorten(title))]
    if remedy:
        command = "/" in remedy.split()[0]
        advice = f"{remedy if command else remedy[0].upper() + remedy[1:]}."
        parts.append(element("p", element("b", "What to do: "), advice, class_="remedy"))
    if places:
        parts.append(_list(places[:LISTED]))
    if len(places) > LISTED:
        rest = [_list(places[LISTED:UNFOLDED])]
        if count > UNFOLDED:
            rest.append(element("p", f"and {_more(count - UNFOLDED)}", class_="hint"))
        summary = element("summary", f"{count - LISTED:,} more")
        parts.append(element("details", summary, *rest))
    return element("div", *parts, class_="group")


def _more(count: int) -> str:
    return f"{count:,} more, see report.json"


def _list(places: Sequence[str]) -> Element:
    short = all(len(place) <= SHORT for place in places)
    style = "places short" if short else "places"
    return element("ul", *(element("li", shorten(place)) for place in places), class_=style)


def _figure(example: Example) -> Element:
    caption = shorten(example.caption)
    image = Image.fromarray(example.picture)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    size = {"width": image.width, "height": image.height}
    return element(
        "figure",
        element("img", src=embed(image), alt=caption, **size),
        element("figcaption", caption),
    )
