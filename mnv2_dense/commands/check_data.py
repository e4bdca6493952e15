"""Looks at a whole data set before it costs a night."""

import time
from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.commands.checks import check_outside
from mnv2_dense.commands.outputs import check_output
from mnv2_dense.commands.session import say
from mnv2_dense.commands.sources import open_source
from mnv2_dense.config.schema import Config, SegmentationConfig
from mnv2_dense.errors import UserError
from mnv2_dense.inspection.detection import inspect_detection
from mnv2_dense.inspection.page import write_page
from mnv2_dense.inspection.report import Report
from mnv2_dense.inspection.segmentation import inspect_segmentation
from mnv2_dense.inspection.summary import summarize, to_json
from mnv2_dense.training.runs import write_json


def check_data(
    source: Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    jobs: int = 2,
    page: bool = True,
) -> int:
    """Prints what a data set holds and all that is wrong with it, and writes it to `out`.

    Args:
        source: A config, or a data set's folder, whose format is recognised.
        overrides: Changes to the config, of the form `key.path=value`.
        out: Folder for `report.json` and `index.html`; None takes data_check/NAME.
        jobs: Files decoded at once.
        page: Whether `index.html` is written.

    Returns:
        The exit code: 0 for clean data, 1 for problems, 2 for data that training refuses.

    Raises:
        UserError: The config is wrong, the folder is no data set, or `out` lies in the data or
            cannot be written.
    """
    started = time.perf_counter()
    config, data = open_source(source, overrides)
    out = out or Path("data_check") / (source.resolve().name if data else config.name)
    check_outside(out, config)
    check_output(out)
    _check_drawn(config)
    report = _inspect(config, str(source), jobs)
    report.data = data or report.data
    report.seconds = time.perf_counter() - started
    # A file name may hold bytes that are no text.
    say(summarize(report).encode(errors="backslashreplace").decode())
    check_outside(out, config, report.folders)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", to_json(report))
    files = [out / "report.json"]
    if page:
        files.append(out / "index.html")
        write_page(report, files[-1])
    say(f"wrote {' and '.join(map(str, files))}")
    return int(report.level)


def _check_drawn(config: Config) -> None:
    """Refuses the built-in data before they are drawn: a check writes no data."""
    if config.data.generate and not Path(config.data.root).exists():
        raise UserError(
            f"{config.data.root}: the built-in data set is not there yet; training draws it, or "
            f"mnv2-dense make_shapes {config.data.root}"
        )


def _inspect(config: Config, source: str, jobs: int) -> Report:
    if isinstance(config, SegmentationConfig):
        return inspect_segmentation(config, source, jobs)
    return inspect_detection(config, source, jobs)
