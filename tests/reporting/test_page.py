import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv2_dense.reporting.log import Log, Series
from mnv2_dense.reporting.page import Part, Report, draw_page, unmeasured, write_page
from mnv2_dense.reporting.pictures import Shown
from mnv2_dense.reporting.run_folder import Run, open_run, split_config
from tests.pages.parsing import Page
from tests.reporting.scenes import SCRIPT, findings_of, make_run, write_json


@pytest.fixture
def run(tmp_path: Path) -> Run:
    log = Log({"val/mAP": Series([4, 9], [0.5, 0.25]), "train/loss": Series([9], [1.0])}, [])
    return open_run(make_run(tmp_path / "run"))._replace(log=log)


def detection_part(run: Run, *names: str) -> Part:
    findings = findings_of(*names)
    (config,) = split_config(run.config).values()
    picture = np.zeros((8, 8, 3), np.uint8)
    shown = [Shown(name, "F1 0.50", picture, picture, (name, name)) for name in names]
    return Part(config, findings.evaluation.as_dict(), findings, shown, shown, names, "By F1.")


def reported(run: Run, *names: str, **changes: Any) -> Report:
    part = detection_part(run, *names)
    return Report(run, part.metrics, [part], **changes)


def test_all_is_there_and_can_be_linked_to(run: Run) -> None:
    page = Page(draw_page(reported(run, "cat", "dog")))
    links = [each["href"].removeprefix("#") for each in page.all("a")]
    assert links == [each["id"] for each in page.all("section")]
    assert links == [
        *("scores", "classes", "precision-recall", "errors", "confusion", "pictures"),
        *("curves", "timing", "environment", "config"),
    ]
    assert page.texts[0] == "ssdlite_shapes: run"
    assert page.all("b")
    assert "0.500" in page.texts
    assert "10 steps, not finished. All scores are of the best checkpoint, of step 5." in page.texts
    assert not page.all("aside")


def test_a_finished_run_is_said_to_be(run: Run) -> None:
    write_json(run.folder / "metrics.json", {})
    assert "10 steps, finished." in draw_page(Report(run))


def test_what_is_missing_stands_on_top(run: Run) -> None:
    log = run.log._replace(problems=["rows are damaged"])
    page = Page(draw_page(Report(run._replace(log=log), missing=[f"No scores: {SCRIPT}"])))
    assert page.all("aside", "missing")
    start = page.texts.index("What is missing here")
    assert page.texts[start + 1 : start + 3] == [f"No scores: {SCRIPT}", "rows are damaged"]
    assert [each["id"] for each in page.all("section")] == [
        *("curves", "timing", "environment", "config")
    ]
    assert page.texts.index("-") < start  # in the score's place


def test_nothing_of_the_users_becomes_markup_and_nothing_is_loaded(
    run: Run, tmp_path: Path
) -> None:
    names = (SCRIPT, "</style></title><img src=x onerror=alert(1)>", "caf\udce9", "\u202etxt", "\0")
    made = reported(run, *names)
    folder = tmp_path / "<b>&"
    folder.mkdir()
    made.run = run._replace(folder=folder)
    write_page(made, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_bytes().decode()
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert not [name for _, found in page.tags for name in found if name.startswith("on")]
    assert len(page.all("img")) == 4 * len(names)
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert all(image["alt"] for image in page.all("img"))
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    assert {SCRIPT, r"caf\udce9"} <= set(page.texts)
    assert "\u202e" not in html


def test_a_joint_run_has_the_sections_of_both(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("task: joint\n")
    run = open_run(tmp_path)
    boxes, masks = split_config(run.config).values()
    parts = [
        Part(boxes, {"mAP": 0.25, "per_class": {}}),
        Part(masks, {"mIoU": 0.75, "per_class": {"sky": 0.75}}),
    ]
    page = Page(draw_page(Report(run, {"score": 0.5}, parts)))
    ids = [each["id"] for each in page.all("section")]
    assert len(ids) == len(set(ids))
    assert ids[:4] == [
        *("detection-scores", "detection-classes", "segmentation-scores", "segmentation-classes")
    ]
    assert {"0.500", "Detection: AP per class", "Segmentation: Scores"} <= set(page.texts)
    assert "score, the mean of mAP and mIoU" in page.texts


def test_pictures_that_were_left_out_are_said() -> None:
    (said,) = unmeasured({"unmeasured": {"count": 2, "of": 9, "pictures": []}})
    assert said.startswith("2 of 9 pictures could not be read")
    assert unmeasured({}) == unmeasured({"unmeasured": 3}) == []
