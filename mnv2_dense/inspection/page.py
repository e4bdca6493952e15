"""An inspection's result as one HTML page that needs no network, no script and no other file."""

from pathlib import Path
from xml.etree.ElementTree import Element

from mnv2_dense.config.document import write_value
from mnv2_dense.formats.problems import Level
from mnv2_dense.inspection.page_charts import draw_histogram
from mnv2_dense.inspection.page_problems import LEVEL_NAMES, draw_problems, icon
from mnv2_dense.inspection.report import Report
from mnv2_dense.pages.markup import element, page, read_style

_VERDICTS = {
    Level.NOTE: ("clean", "Clean", "Nothing in this data stands in the way of training."),
    Level.PROBLEM: (
        "problem",
        "Problems",
        "Training works with this data, but something is left out, changed or doubtful.",
    ),
    Level.ERROR: (
        "error",
        "Unusable",
        "Training refuses this data until its errors are corrected.",
    ),
}
_MANY = 1000
"""Facts from here on are shown with one decimal place, smaller ones with four digits."""


def write_page(report: Report, path: Path) -> None:
    """Writes the page of an inspection; equal reports give equal bytes.

    It holds the verdict, the facts, the data section, all kinds of problems with their first
    places and pictures, and the histograms. Whatever the data's names hold is shown as text.
    """
    path.write_bytes(_draw(report).encode())


def _draw(report: Report) -> str:
    _, word, _ = _VERDICTS[report.level]
    sections = [
        element("div", _facts(report), _data(report), class_="pair"),
        draw_problems(report.problems, report.examples),
        *_plots(report),
    ]
    footer = element(
        "footer",
        "Written by check_data. Nothing in the data was changed. All places: report.json.",
    )
    main = element("main", _headline(report), *sections, footer)
    style = read_style("mnv2_dense.inspection")
    return page(f"{word}: {report.source}", style, main)


def _headline(report: Report) -> Element:
    style, word, meaning = _VERDICTS[report.level]
    checked = f"{report.task.capitalize()} data, checked in {_duration(report.seconds)}"
    return element(
        "header",
        icon(style),
        element(
            "div",
            element("p", checked, class_="eyebrow"),
            element("h1", word),
            element("p", meaning, class_="meaning"),
            element("p", element("code", report.source), class_="source"),
        ),
        _tally(report),
        class_=f"verdict level-{style}",
    )


def _tally(report: Report) -> Element:
    """How many problems of each level there are, the worst first."""
    counts = dict.fromkeys(reversed(Level), 0)
    for problem in report.problems:
        counts[problem.level] += 1
    return element(
        "ul",
        *(
            element(
                "li",
                element("b", f"{count:,}"),
                f" {LEVEL_NAMES[level].lower()}{'s' * (count != 1)}",
            )
            for level, count in counts.items()
        ),
        class_="tally",
    )


def _facts(report: Report) -> Element:
    names = dict.fromkeys(name for facts in report.facts.values() for name in facts)
    head = element(
        "tr",
        element("th", "Split", scope="col"),
        *(element("th", element("bdi", split), scope="col") for split in report.facts),
    )
    rows = (
        element(
            "tr",
            element("th", element("bdi", name), scope="row"),
            *(element("td", _number(facts.get(name))) for facts in report.facts.values()),
        )
        for name in names
    )
    table = element("table", element("thead", head), element("tbody", *rows), class_="facts")
    return element(
        "section", element("h2", "What it holds"), element("div", table, class_="scroll")
    )


def _data(report: Report) -> Element:
    """The data section; a click selects all of it."""
    lines = [f"  {key}: {write_value(value)}" for key, value in report.data.items()]
    text = element("pre", class_="yaml", tabindex=0)
    # Line by line: a line break inside a value is an escape already, these must stay.
    text.text = "\n".join(["data:", *lines])
    return element(
        "section",
        element("h2", "Data section for your config"),
        element("p", "Ready to paste; a click selects it.", class_="hint"),
        text,
    )


def _plots(report: Report) -> list[Element]:
    if not report.histograms:
        return []
    drawn = (draw_histogram(histogram) for histogram in report.histograms)
    return [element("section", element("h2", "Distributions"), *drawn)]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= _MANY else f"{value:.4g}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
