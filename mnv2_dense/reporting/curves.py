"""How a run went: losses, learning rate, scores and pace over its steps."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from mnv2_dense.pages.markup import element
from mnv2_dense.reporting.line_chart import Axes, Line, draw_lines
from mnv2_dense.reporting.log import Log, Series
from mnv2_dense.reporting.parts import card, hint, section

_PACE, _WAIT = "train/images_per_second", "train/data_wait"
_MEMORY = "train/device_memory_gib"
_MEASURED = (_PACE, _WAIT, _MEMORY)
_TURNS = {
    "train/detection_loss": "detection_loss",
    "train/segmentation_loss": "segmentation_loss",
}
"""Of a joint run, whose steps are each about one of them."""
_VALIDATION_LOSSES = {
    "val/loss": "Validation loss",
    "val/detection_loss": "detection",
    "val/segmentation_loss": "segmentation",
}
_SHOWN_SCORES = {
    "mAP": ("mAP", "AP50", "AP75"),
    "mIoU": ("mIoU", "pixel_accuracy", "frequency_weighted_IoU"),
    "score": ("score", "mAP", "mIoU"),
}


def draw_curves(log: Log, score: str) -> Element:
    """The curves of a run, those that its log has; steps count from 1.

    Args:
        log: Of the run.
        score: The name of what chooses the best checkpoint.
    """
    series = log.series
    scores = [name for name in _SHOWN_SCORES[score] if f"val/{name}" in series]
    charts = [
        _chart("Training loss", _losses(series)),
        _chart(
            "Validation score",
            [(name, series[f"val/{name}"]) for name in scores],
            _best(log, score),
        ),
        _chart("Validation loss", _named(series, _VALIDATION_LOSSES)),
        _chart("Learning rate", _rates(series)),
        _chart("Images per second", _named(series, {_PACE: "Images per second"}), floor=0.0),
        _chart(
            "Share of time waiting for data",
            _named(series, {_WAIT: "Share of time waiting for data"}),
            "near 0 the network is the limit, near 1 the data",
            floor=0.0,
        ),
        _chart("Device memory, GiB", _named(series, {_MEMORY: "Device memory, GiB"}), floor=0.0),
    ]
    drawn = [chart for chart in charts if chart is not None]
    if not drawn:
        return section("Curves", hint("Nothing was logged."), key="curves")
    return section("Curves", card(element("div", *drawn, class_="panels")), key="curves")


def best_step(log: Log, score: str) -> int | None:
    """Where the best score is, the first of equal ones; None before the first validation."""
    found = log.series.get(f"val/{score}")
    if found is None:
        return None
    return found.steps[max(range(len(found.values)), key=found.values.__getitem__)]


def _chart(
    title: str,
    series: Sequence[tuple[str, Series]],
    note: str = "",
    floor: float | None = None,
) -> Element | None:
    """One chart, or None where there is nothing to draw."""
    if not series:
        return None
    lines = [
        Line(name, [step + 1 for step in one.steps], one.values, place)
        for place, (name, one) in enumerate(series)
    ]
    most = max(max(line.ys) for line in lines)
    heights = None if floor is None else (floor, most if most > floor else floor + 1.0)
    return draw_lines(title, lines, Axes(y_range=heights), note)


def _named(series: dict[str, Series], names: dict[str, str]) -> list[tuple[str, Series]]:
    return [(shown, series[key]) for key, shown in names.items() if key in series]


def _losses(series: dict[str, Series]) -> list[tuple[str, Series]]:
    """The whole loss and its parts; of one part alone, the whole; of a joint run its two losses."""
    if turns := _named(series, _TURNS):
        return turns
    whole = _named(series, {"train/loss": "loss"})
    parts = [
        (key.removeprefix("train/"), one)
        for key, one in series.items()
        if key.startswith("train/") and key not in (*_MEASURED, "train/loss")
    ]
    same = len(parts) == 1 and bool(whole) and parts[0][1] == whole[0][1]
    return whole if same else [*whole, *parts]


def _rates(series: dict[str, Series]) -> list[tuple[str, Series]]:
    """The learning rates of the optimiser's groups, those that are alike as one."""
    groups: list[tuple[str, Series]] = []
    for key, one in series.items():
        if key.startswith("lr-") and all(one != known for _, known in groups):
            groups.append((key.removeprefix("lr-"), one))
    return [("Learning rate", groups[0][1])] if len(groups) == 1 else groups


def _best(log: Log, score: str) -> str:
    step = best_step(log, score)
    if step is None:
        return ""
    found = log.series[f"val/{score}"]
    return f"best {score} {found.values[found.steps.index(step)]:.3f}, after step {step + 1:,}"
