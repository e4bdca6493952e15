"""Writes what became of a run as one page."""

from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.commands.evaluate import evaluate
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.report_parts import add_detections, add_label_maps
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.config.loader import parse_any_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.errors import UserError
from mnv2_dense.reporting.page import Part, Report, unmeasured, write_page
from mnv2_dense.reporting.run_folder import Run, find_evaluation, open_run, split_config

PAGE = "report.html"
PICTURES = 6
"""The best and the worst pictures on a page: so many of each."""
CHANGEABLE = ("data.", "detection.data.", "segmentation.data.")
"""What can be said of a run that is over: where its data are now."""


def report(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    pictures: int = PICTURES,
) -> None:
    """Writes the page of a run; its best checkpoint is measured first where that was not done.

    What is not there, or cannot be read, is said on the page.

    Args:
        folder: The run's.
        overrides: Where the data are now: `data.root=FOLDER`; of a joint run
            `detection.data.root=FOLDER` and `segmentation.data.root=FOLDER`.
        out: The page; None takes `report.html` in the run's folder.
        pictures: How many of the best and of the worst are shown.

    Raises:
        UserError: It is no run's folder, an override is not of the data, or `out` is no place for
            a page.
    """
    quiet_lightning()
    run = open_run(folder)
    page = _check(folder, overrides, out)
    missing: list[str] = []
    if run.best is not None and find_evaluation(run, []) is None:
        try:
            evaluate(run.best, overrides, out=folder / "evaluation-best")
        except UserError as error:
            missing.append(f"The best checkpoint could not be measured: {error}")
    _write(run, overrides, page, pictures, missing)
    say(f"wrote {page}")


def report_training(folder: Path) -> None:
    """Writes the page of a run that has just ended; a run does not fail for its page."""
    page = folder / PAGE
    try:
        _write(open_run(folder), (), page, PICTURES, [])
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        say(f"{page} was not written ({reason}); mnv2-dense report {folder} tries again")
    else:
        say(f"wrote {page}")


def _check(folder: Path, overrides: Sequence[str], out: Path | None) -> Path:
    """The place of the page."""
    for text in overrides:
        if not text.startswith(CHANGEABLE):
            raise UserError(f"{text}: a run is over; only where its data are can be given, data.*")
    page = out or folder / PAGE
    if page.suffix not in (".html", ".htm") or page.is_dir():
        raise UserError(f"--out {page}: give a file name that ends in .html")
    check_output(page.parent)
    return page


def _write(
    run: Run, overrides: Sequence[str], page: Path, pictures: int, missing: list[str]
) -> None:
    made = Report(run, missing=missing)
    measured = find_evaluation(run, missing)
    if measured is None:
        there = "it is not measured" if run.best else "there is none yet"
        missing.append(f"No scores, which are those of the best checkpoint: {there}.")
    else:
        made.metrics = measured.metrics
        name = str(run.folder / "config.yaml")
        config = parse_any_config(run.config.model_dump(mode="json"), overrides, name=name)
        configs = split_config(config)
        for task, own in configs.items():
            key = "data.root" if len(configs) == 1 else f"{task}.data.root"
            part = Part(own, measured.of(task), data_key=key)
            if isinstance(own, DetectionConfig):
                missing += add_detections(part, own, measured.folder, pictures)
            else:
                missing += add_label_maps(part, own, measured.folder, run.best, pictures)
            made.parts.append(part)
        missing += unmeasured(measured.metrics)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_page(made, page)
