"""A run's time, its machine and its config, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any
from xml.etree.ElementTree import Element

from mnv2_dense.config.document import write_value
from mnv2_dense.config.loader import to_yaml
from mnv2_dense.config.sections import Section
from mnv2_dense.pages.markup import element
from mnv2_dense.reporting.clock import Session
from mnv2_dense.reporting.log import Series
from mnv2_dense.reporting.parts import card, hint, section, table
from mnv2_dense.reporting.run_folder import Run
from mnv2_dense.training.progress import format_duration

_UNKNOWN = "not recorded"


def draw_timing(run: Run) -> Element:
    """How long the run took, and what it waited for."""
    series, sessions = run.log.series, run.sessions
    rows: list[tuple[str, str]] = []
    if sessions:
        began = datetime.fromtimestamp(sessions[0].began, tz=UTC)
        rows += [
            ("first step logged", f"{began:%Y-%m-%d %H:%M:%S} UTC"),
            ("time of training", _duration(sessions)),
        ]
    if run.log.last_step is not None:
        rows.append(("steps", f"{run.log.last_step + 1:,}"))
    rows += [
        ("images per second, median", _spread(series.get("train/images_per_second"), "{:.1f}")),
        ("time waiting for data, median", _spread(series.get("train/data_wait"), "{:.1%}")),
    ]
    note = hint(
        "The time of training lies between the first and the last logged value of each session, "
        "validation included; start and final evaluation are not in it. The pace is that of "
        "training alone."
    )
    shown = table(("what", "value"), rows, "facts words")
    return section("Timing", card(shown, note), key="timing")


def draw_environment(run: Run) -> Element:
    """Where the run took place: of the last session, and what the others had otherwise."""
    training = run.config.training
    rows = [("seed", str(training.seed))]
    if not run.environments:
        rows.append(("machine", _UNKNOWN))
    else:
        *earlier, last = (dict(_environment(each)) for each in run.environments)
        for name, value in last.items():
            others = [each[name] for each in earlier if each.get(name, value) != value]
            before = f" (before: {', '.join(dict.fromkeys(others))})" if others else ""
            rows.append((name, value + before))
    # Whole, however long it is: a command can be given again.
    whole = ((name, element("span", value)) for name, value in rows)
    shown = table(("what", "value"), whole, "facts words")
    return section("Environment", card(shown), key="environment")


def draw_config(config: Section) -> Element:
    """The config: what it changes of the defaults, and every key folded."""
    changed = list(find_changes(config))
    rows = [
        (key, element("code", write_value(value)), element("code", write_value(default)))
        for key, value, default in changed
    ]
    whole = element("pre", tabindex=0)
    whole.text = to_yaml(config).strip()
    return section(
        "Config",
        card(
            element("h3", f"{len(rows)} keys differ from the defaults"),
            table(("key", "value", "default"), rows, "facts words stacked"),
            element("details", element("summary", "Every key, as YAML"), whole),
        ),
        key="config",
    )


def find_changes(config: Section, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, value and default of what a config has otherwise than its defaults.

    Args:
        config: Of any task, or a section.
        path: Where it stands in the file.
    """
    default = type(config)()
    for name in type(config).model_fields:
        own, usual = getattr(config, name), getattr(default, name)
        if isinstance(own, Section):
            yield from find_changes(own, f"{path}{name}.")
        elif own != usual:
            plain, other = (each.model_dump(mode="json")[name] for each in (config, default))
            yield f"{path}{name}", plain, other


def _duration(sessions: Sequence[Session]) -> str:
    total = format_duration(sum(each.ended - each.began for each in sessions))
    if len(sessions) == 1:
        return total
    pauses = sum(max(0.0, later.began - one.ended) for one, later in pairwise(sessions))
    return f"{total} in {len(sessions)} sessions, {format_duration(pauses)} between them"


def _spread(series: Series | None, form: str) -> str:
    """The median of a series and its range."""
    if series is None:
        return _UNKNOWN
    low, high = (form.format(end(series.values)) for end in (min, max))
    return f"{form.format(median(series.values))} ({low} to {high})"


def _environment(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of what a session wrote down, whatever is in it."""
    gpus = record.get("gpus")
    packages = record.get("packages")
    yield "began", _text(record.get("time"))
    yield "processor", _text(record.get("processor"))
    yield "cores", _text(record.get("cpu_count"))
    yield "threads of PyTorch", _text(record.get("threads"))
    yield "GPUs", ", ".join(map(_text, gpus)) if isinstance(gpus, list) and gpus else "none"
    yield "system", _text(record.get("platform"))
    yield "Python", _text(record.get("python"))
    versions = packages.items() if isinstance(packages, dict) else ()
    installed = [f"{name} {_text(version)}" for name, version in versions if version is not None]
    yield "packages", ", ".join(installed) or _UNKNOWN
    yield "commit", _text(record.get("commit"))
    command = record.get("command")
    yield "command", " ".join(map(_text, command)) if isinstance(command, list) else _UNKNOWN
    yield "folder", _text(record.get("folder"))


def _text(value: object) -> str:
    return _UNKNOWN if value is None else str(value)
