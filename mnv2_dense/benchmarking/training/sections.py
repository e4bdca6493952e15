"""What is measured of training: the step and its parts, and Lightning around it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tqdm import tqdm

from mnv2_dense.benchmarking.interleaving import Timing, measure
from mnv2_dense.benchmarking.ratios import Ratio, Timings, divide
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.benchmarking.training.lightning_loop import BY_HAND, LIGHTNING, measure_lightning
from mnv2_dense.benchmarking.training.parts import average_call, loss_call
from mnv2_dense.benchmarking.training.peers import torchvision_step
from mnv2_dense.benchmarking.training.subjects import SETTINGS, Subject, hand_step, make_subject

LAST, FIRST, COMPILED = "step, channels last", "step, NCHW", "step, channels last, compiled"
LOSS, AVERAGE, TORCHVISION = "loss alone", "average of the weights alone", "step, torchvision"
NAMES = {"detection": "SSDLite 320", "segmentation": "DeepLabv3 513"}
CHANNELS_LAST_TARGETS = {"detection": 1.25, "segmentation": 1.2}


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        tasks: `detection`, `segmentation`.
        repetitions: Of every call.
        batch_size: Of every step; None takes those of `SETTINGS`.
        compiled: Whether the compiled network is timed, too, which takes minutes to begin.
    """

    tasks: Sequence[str] = tuple(SETTINGS)
    repetitions: int = 30
    batch_size: int | None = None
    compiled: bool = False


def measure_training(wanted: Wanted) -> Iterator[Section]:
    """Sections of each task: the step by hand beside its parts and peers, Lightning beside it."""
    for task in wanted.tasks:
        with TemporaryDirectory(prefix="mnv2_dense-") as name:
            subject = make_subject(task, wanted.batch_size, Path(name))
            yield _measure_step(subject, wanted)
            yield _measure_lightning(subject, wanted, Path(name, "run"))


def _measure_step(subject: Subject, wanted: Wanted) -> Section:
    task, batch = subject.build(), subject.batch
    calls = {
        LAST: hand_step(task, batch),
        FIRST: hand_step(subject.build(channels_last=False), batch),
        TORCHVISION: torchvision_step(batch),
        LOSS: loss_call(subject.build(), batch),
        AVERAGE: average_call(task),
    }
    if wanted.compiled:
        compiled = subject.build()
        compiled.network = torch.compile(compiled.network)  # pyrefly: ignore[bad-assignment]
        calls[COMPILED] = hand_step(compiled, batch)
    with tqdm(total=len(calls) * wanted.repetitions, leave=False) as bar:
        timings = measure(calls, wanted.repetitions, advance=bar.update, warm=False)
    ratios = step_ratios(timings, subject.config.task)
    return Section(_title(subject, "a training step"), timings, ratios, _rates(subject, timings))


def step_ratios(timings: Timings, task: str) -> list[Ratio]:
    """The lines of a step: what is asked for, and the peers'."""
    faster = divide(
        timings,
        FIRST,
        LAST,
        CHANNELS_LAST_TARGETS[task],
        name="images per second: channels last / NCHW",
        direction="at least",
    )
    loss = divide(timings, LOSS, LAST, 0.03 if task == "detection" else None)
    ratios = [faster, loss, divide(timings, AVERAGE, LAST, 0.01)]
    for other in (TORCHVISION, COMPILED):
        if other in timings:
            name = f"images per second: {LAST} / {other}"
            ratios.append(divide(timings, other, LAST, name=name))
    return ratios


def _measure_lightning(subject: Subject, wanted: Wanted, folder: Path) -> Section:
    timings = measure_lightning(subject, wanted.repetitions, folder)
    ratios = [divide(timings, LIGHTNING, BY_HAND, 1.03)]
    return Section(_title(subject, "Lightning beside a loop by hand"), timings, ratios)


def _title(subject: Subject, what: str) -> str:
    return f"{NAMES[subject.config.task]}, {what} of {len(subject.batch.images)} pictures"


def _rates(subject: Subject, timings: dict[str, Timing]) -> list[str]:
    count = len(subject.batch.images)
    return [
        f"{name}: {count / timing.median:.2f} pictures/s"
        for name, timing in timings.items()
        if name not in (LOSS, AVERAGE)
    ]
