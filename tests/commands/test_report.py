import shutil
from pathlib import Path

import pytest

from mnv2_dense.commands import report as command
from mnv2_dense.commands.report import PAGE, report_training
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from tests.commands.tiny import Outcome, run_tool, train, tree
from tests.pages.parsing import Page


@pytest.fixture(params=["trained_run", "segmentation_run"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a tiny run that has ended."""
    return Path(shutil.copytree(request.getfixturevalue(request.param), tmp_path / "run"))


@pytest.fixture
def detector(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def _refuse(*_: object, **__: object) -> None:
    pytest.fail("measured again")


def report(run: Path, *arguments: object) -> Outcome:
    return run_tool("report", run, *arguments)


def page_of(run: Path) -> Page:
    return Page((run / PAGE).read_text())


def sections(page: Page) -> list[str]:
    return [each["id"] for each in page.all("section")]


def test_a_training_run_writes_its_page(trained_run: Path, segmentation_run: Path) -> None:
    page = page_of(trained_run)
    assert sections(page) == [
        *("scores", "classes", "precision-recall", "errors", "confusion", "pictures"),
        *("curves", "timing", "environment", "config"),
    ]
    assert "3 steps, finished. All scores are of the best checkpoint, of step 3." in page.texts
    assert not page.all("aside")
    assert len(page.all("img")) == 2 * 6  # each of six pictures is among the best or the worst
    page = page_of(segmentation_run)
    assert sections(page) == [
        *("scores", "classes", "confusion", "pictures"),
        *("curves", "timing", "environment", "config"),
    ]
    assert not page.all("aside")
    assert len(page.all("img")) == 2 * 6
    assert {*LABEL_NAMES} <= set(page.texts)


def test_the_command_writes_the_same_page_and_measures_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "evaluate", _refuse)
    before, written = page_of(run), tree(run)
    outcome = report(run).require_success()
    assert outcome.out == f"wrote {run / PAGE}\n"
    after = page_of(run)
    pairs = zip(after.texts, before.texts, strict=True)
    changed = [one for one, other in pairs if one != other]
    assert changed == [f"{after.texts[0].partition(':')[0]}: run", str(run)]
    assert [image["src"] for image in after.all("img")] == [
        image["src"] for image in before.all("img")
    ]
    written.pop(PAGE)
    assert written.items() <= tree(run).items()


def test_place_and_number_of_pictures_are_given(detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    report(detector, "--out", out, "--pictures", 1).require_success()
    assert len(Page(out.read_text()).all("img")) == 2 * 2
    report(detector, "--out", out, "--pictures", 0).require_success()
    assert "pictures" not in sections(Page(out.read_text()))


def test_a_killed_run_is_measured_first(run: Path) -> None:
    for name in ("metrics.json", "detections.json", "picture_scores.csv", PAGE):
        (run / name).unlink(missing_ok=True)
    outcome = report(run).require_success()
    assert f"wrote {run / 'evaluation-best' / 'metrics.json'}" in outcome.out
    page = page_of(run)
    assert "3 steps, not finished. All scores are of the best checkpoint, of step 3." in page.texts
    assert not page.all("aside")
    assert "pictures" in sections(page)
    assert not (run / "metrics.json").exists()  # Resuming would take the run for a finished one.


def test_a_run_without_a_checkpoint_has_what_there_is(detector: Path) -> None:
    for path in (detector / "checkpoints").iterdir():
        path.unlink()
    (detector / "metrics.json").unlink()
    (detector / "metrics.csv").write_bytes(b"step,train/loss\n0,2\n\xff\xff")
    report(detector).require_success()
    page = page_of(detector)
    assert sections(page) == ["curves", "timing", "environment", "config"]
    start = page.texts.index("What is missing here")
    assert page.texts[start + 1 : start + 3] == [
        "No scores, which are those of the best checkpoint: there is none yet.",
        "1 rows of metrics.csv are damaged and left out",
    ]


def test_data_that_have_gone_are_said(run: Path, shapes_set: Path) -> None:
    gone = "data.root=nowhere"
    report(run, gone).require_success()
    page = page_of(run)
    assert "scores" in sections(page)
    assert "pictures" not in sections(page)
    (said,) = [text for text in page.texts if "nowhere" in text]
    assert said.startswith("No ")
    report(run, f"data.root={shapes_set}").require_success()
    assert "pictures" in sections(page_of(run))


def test_a_damaged_file_of_detections(detector: Path) -> None:
    (detector / "detections.json").write_text("[{")
    report(detector).require_success()
    page = page_of(detector)
    assert sections(page)[:3] == ["scores", "classes", "curves"]
    assert "No curves of precision, errors, confusions and pictures: " in page.text


def test_other_data_than_those_of_the_evaluation_are_said(detector: Path) -> None:
    (detector / "detections.json").write_text("[]\n")
    report(detector).require_success()
    assert "have changed since the evaluation: mAP was 0.0" in page_of(detector).text


def test_pictures_that_cannot_be_read_are_said(run: Path, shapes_set: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(shapes_set, tmp_path / "data"))
    for path in (root / "val2017").iterdir():
        path.write_bytes(b"no picture")
    report(run, f"data.root={root}").require_success()
    page = page_of(run)
    # A segmenter's pictures are held against their masks before any is used.
    assert "6 pictures cannot be drawn: " in page.text or "No pictures: " in page.text
    assert not page.all("img")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["training.epochs=3"], "training.epochs=3: a run is over; only where its data are"),
        (["--out", "page.txt"], "--out page.txt: give a file name that ends in .html"),
        (["--pictures", "-1"], "--pictures is a number of at least 0, not -1"),
    ],
)
def test_mistakes_are_one_line(detector: Path, arguments: list[str], told: str) -> None:
    outcome = report(detector, *arguments)
    assert outcome.code == 2
    assert told in outcome.err


def test_a_file_is_no_run(detector: Path) -> None:
    best = detector / "checkpoints" / "best.ckpt"
    outcome = report(best)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {best}: no folder of a run")


def test_pictures_of_a_single_class_are_not_the_best(
    segmentation_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(segmentation_run, tmp_path / "run"))
    header, *rows = (run / "picture_scores.csv").read_text().splitlines()
    assert header == "picture,mIoU,classes"
    first, *others = (row.partition(",")[0] for row in rows)
    assert all(int(row.rpartition(",")[2]) > 1 for row in rows)  # Else this test tells nothing.
    changed = [header, f"{first},1.0,1", *(f"{name},0.5,{n}" for n, name in enumerate(others, 2))]
    (run / "picture_scores.csv").write_text("\n".join(changed) + "\n")
    report(run, "--pictures", 1).require_success()
    texts = page_of(run).texts
    assert texts[texts.index("Best") + 1] == others[-1]


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    outcome = report(tmp_path)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {tmp_path}: no folder of a run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_does_not_fail_for_its_page(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("first line\nsecond")

    monkeypatch.setattr(command, "write_page", fail)
    outcome = train(shapes_set, tmp_path, "training.report=true", "training.max_steps=1")
    outcome.require_success()
    (run,) = tmp_path.glob("*/*")
    last = outcome.out.splitlines()[-1]
    assert last == f"{run / PAGE} was not written (first line); mnv2-dense report {run} tries again"
    assert not (run / PAGE).exists()


def test_a_page_can_be_declined(shapes_set: Path, tmp_path: Path) -> None:
    outcome = train(shapes_set, tmp_path, "training.max_steps=1").require_success()
    assert PAGE not in outcome.out
    assert not list(tmp_path.glob(f"*/*/{PAGE}"))


def test_a_full_disk_is_one_line(
    detector: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "write_page", fail)
    report_training(detector)
    assert "was not written ([Errno 28] No space left on device)" in capsys.readouterr().out
