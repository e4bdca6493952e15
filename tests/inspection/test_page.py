import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mnv2_dense.formats.problems import Level, Problem, errors_at
from mnv2_dense.inspection.page import write_page
from mnv2_dense.inspection.report import Example, Histogram, Report
from tests.pages.parsing import Page

NASTY = [
    "<script>alert(1)</script>",
    "</style></pre></title><img src=x onerror=alert(1)>",
    "\"quotes' & &amp; <b>",
    "caf\udce9.jpg",
    "صورة \u202egpj.exe",
    "line\nbreak\0",
    "long" * 1000,
]


def report(**changes: Any) -> Report:
    facts = {"train": {"images": 1234.0, "boxes per image": 7.25}, "val": {"images": 50.0}}
    plain = Report(
        source="data/mine",
        task="detection",
        data={"root": "data/mine", "classes": ["cat", "dog"], "val_fraction": 0.1},
        facts=facts,
        histograms=[Histogram("Boxes per class", ["cat", "dog"], {"train": [3, 4]}, ordered=False)],
        seconds=83.4,
    )
    return replace(plain, **changes)


def nasty() -> Report:
    picture = np.zeros((8, 8, 3), np.uint8)
    return report(
        source=NASTY[0],
        data={"root": NASTY[1], "classes": NASTY},
        facts={text: {text: 1.0} for text in NASTY},
        problems=[
            Problem("odd", Level.PROBLEM, f"{text}: odd", place, f". do {text}")
            for text in NASTY
            for place in NASTY
        ],
        histograms=[
            Histogram(text, NASTY, {text: [1] * len(NASTY)}, ordered=False) for text in NASTY
        ],
        examples=[Example("odd", text, picture) for text in NASTY],
    )


def written(made: Report, folder: Path) -> str:
    write_page(made, folder / "report.html")
    return (folder / "report.html").read_bytes().decode()


@pytest.mark.parametrize(
    ("level", "word", "style"),
    [
        (None, "Clean", "level-clean"),
        (Level.NOTE, "Clean", "level-clean"),
        (Level.PROBLEM, "Problems", "level-problem"),
        (Level.ERROR, "Unusable", "level-error"),
    ],
)
def test_the_verdict_is_said_in_words(
    tmp_path: Path, level: Level | None, word: str, style: str
) -> None:
    found = () if level is None else errors_at("odd", "odd:", "ab", level=level)
    page = Page(written(report(problems=list(found)), tmp_path))
    assert page.texts[0] == f"{word}: data/mine"
    assert word in page.texts[1:4]
    assert page.all("header", style)
    assert "Detection data, checked in 1 min 23 s" in page.texts


def test_facts_stand_by_split_with_gaps_shown(tmp_path: Path) -> None:
    texts = Page(written(report(), tmp_path)).texts
    start = texts.index("Split")
    assert texts[start : start + 9] == [
        *("Split", "train", "val"),
        *("images", "1,234", "50"),
        *("boxes per image", "7.25", "-"),
    ]


@pytest.mark.parametrize("made", [report(), nasty()], ids=["plain", "nasty"])
def test_the_data_section_reads_back(tmp_path: Path, made: Report) -> None:
    (text,) = [each for each in Page(written(made, tmp_path)).texts if each.startswith("data:")]
    assert yaml.safe_load(text) == {"data": made.data}
    assert len(text.splitlines()) == 1 + len(made.data)


def test_nothing_of_the_users_becomes_markup(tmp_path: Path) -> None:
    html = written(nasty(), tmp_path)
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert not [name for _, found in page.tags for name in found if name.startswith("on")]
    assert len(page.all("img")) == len(NASTY)
    assert NASTY[0] in page.texts
    assert r"caf\udce9.jpg" in page.text
    assert "\u202e" not in html
    assert "\0" not in html


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    html = written(nasty(), tmp_path)
    page = Page(html)
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    assert "default-src 'none'" in page.all("meta")[1]["content"]


def test_equal_reports_give_equal_bytes(tmp_path: Path) -> None:
    assert written(nasty(), tmp_path) == written(nasty(), tmp_path)


def test_a_great_many_problems_stay_a_small_page(tmp_path: Path) -> None:
    problems = errors_at(
        "outside_box", "boxes outside:", (f"{'x' * 400} {n}" for n in range(10**5))
    )
    html = written(report(problems=problems), tmp_path)
    assert len(html) < 200_000
    assert "100,000 cases" in html


def test_an_empty_report_is_a_page(tmp_path: Path) -> None:
    page = Page(written(Report("x", "segmentation", {}), tmp_path))
    assert "Nothing was found." in page.texts
    assert "Distributions" not in page.texts


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (7320, "2 h 2 min")],
)
def test_the_time_taken(tmp_path: Path, seconds: float, shown: str) -> None:
    assert f"checked in {shown}" in written(report(seconds=seconds), tmp_path)


def test_every_class_of_the_page_has_its_style(tmp_path: Path) -> None:
    html = written(nasty(), tmp_path)
    style = html[html.index("<style>") : html.index("</style>")]
    used = {name for _, found in Page(html).tags for name in found.get("class", "").split()}
    plain = {"yaml", "count", "number"}
    assert {name for name in used - plain if f".{name}" not in style} == set()
