"""Times prediction on this machine, beside other programs and the bare runtimes."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import torch
from tqdm import tqdm

from mnv2_dense.benchmarking.folder import (
    PICTURES,
    draw_picture,
    jpeg_folder,
    measure_folder,
)
from mnv2_dense.benchmarking.interleaving import Timing, measure
from mnv2_dense.benchmarking.machine import describe_machine
from mnv2_dense.benchmarking.random_weights import CANDIDATES
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.benchmarking.rows import (
    THRESHOLDS,
    Calls,
    detector_rows,
    enlarge,
    segmenter_rows,
    size_of,
)
from mnv2_dense.benchmarking.startup import PROCESSES, measure_startup
from mnv2_dense.benchmarking.subjects import DETECTOR, SEGMENTER, Opened, Subject, make_subject
from mnv2_dense.benchmarking.targets import (
    best_engine,
    detector_ratios,
    folder_ratios,
    segmenter_ratios,
)
from mnv2_dense.commands.checks import check_output
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import find_images
from mnv2_dense.images import read_image
from mnv2_dense.prediction.loading import ENGINES, load
from mnv2_dense.training.runs import write_json

PICTURE = (500, 375)
"""Width and height of the picture, the most usual of VOC."""
FOLDER_REPETITIONS = 5
SETTINGS = {"detection": DETECTOR, "segmentation": SEGMENTER}
TASKS = tuple(SETTINGS)


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes:
        threads: Of every engine and peer.
        repetitions: Of every call.
        engines: Names of `ENGINES`; none for all that are installed.
        tasks: Of `TASKS`.
        models: Exported files that are timed beside the networks of the same task and input.
        tflite: A file that the TFLite runtime is timed on beside DeepLabv3.
        pictures: Folder of pictures, of which the first are used; None for drawn ones.
        out: JSON file for all figures.
    """

    threads: int = 2
    repetitions: int = 30
    engines: tuple[str, ...] = ()
    tasks: tuple[str, ...] = TASKS
    models: tuple[Path, ...] = ()
    tflite: Path | None = None
    pictures: Path | None = None
    out: Path | None = None


def benchmark_predict(wanted: Wanted) -> None:
    """Prints times and their ratios beside the targets, and writes them to a file.

    Each network is measured in one interleaved run of batch 1: from a decoded picture to boxes or
    to the label map at the picture's own size, beside torchvision's networks, the bare ONNX
    Runtime and the TFLite runtime. Then pictures in files, one by one and as a folder, and the
    start of a fresh process. Only ratios within a run mean something on a machine that does other
    work, too.

    Raises:
        UserError: An argument is not allowed, or a file cannot be read.
    """
    _check(wanted)
    quiet_lightning()
    torch.set_num_threads(wanted.threads)
    cv2.setNumThreads(wanted.threads)
    machine = describe_machine()
    say(f"{machine['processor']}, {machine['cores']} cores; {wanted.threads} threads each")
    say(", ".join(f"{name} {value}" for name, value in list(machine.items())[2:]))
    sections: list[Section] = []
    with TemporaryDirectory(prefix="mnv2_dense-") as name, _pictures(wanted) as paths:
        picture = draw_picture(*PICTURE) if wanted.pictures is None else _read(paths[0])
        for task in wanted.tasks:
            for section in _measure_task(task, wanted, picture, paths, Path(name)):
                say("\n".join(section.lines()))
                sections.append(section)
    if wanted.out is not None:
        content = {"machine": machine, "threads": wanted.threads, "picture": size_of(picture)}
        write_json(wanted.out, {**content, "sections": [each.as_dict() for each in sections]})
        say(f"wrote {wanted.out}")


def _check(wanted: Wanted) -> None:
    unknown = [name for name in wanted.engines if name not in ENGINES]
    if unknown:
        allowed = ", ".join(ENGINES)
        raise UserError(f"--engines: {', '.join(unknown)} is not known; allowed: {allowed}")
    if wanted.out is not None:
        check_output(wanted.out.parent)
    if wanted.tflite is not None and not wanted.tflite.is_file():
        raise UserError(f"--tflite {wanted.tflite}: no such file")
    for path in wanted.models:
        _check_model(path, wanted.tasks)


def _check_model(path: Path, tasks: tuple[str, ...]) -> None:
    manifest = load(path).manifest
    own = SETTINGS[manifest.task]["input"]
    if manifest.task not in tasks or manifest.input_size._asdict() != own:
        height, width = manifest.input_size
        raise UserError(
            f"--models {path}: is for {manifest.task} of {width}x{height}; timed are "
            + " and ".join(f"{task} of {SETTINGS[task]['input']['width']}" for task in tasks)
        )


@contextmanager
def _pictures(wanted: Wanted) -> Iterator[list[Path]]:
    if wanted.pictures is not None:
        yield find_images(wanted.pictures)[:PICTURES]
        return
    with jpeg_folder() as folder:
        yield find_images(folder)


def _read(path: Path) -> Picture:
    return read_image(path, upright=True)


def _measure_task(
    task: str, wanted: Wanted, picture: Picture, paths: list[Path], folder: Path
) -> Iterator[Section]:
    """The network itself, then its folder of pictures, then its start."""
    settings = SETTINGS[task]
    engines = wanted.engines or tuple(ENGINES)
    say(f"\n{settings['name']}: writing files ...")
    with _silence():
        subject = make_subject(settings, picture, folder, engines)
        opened = subject.open(engines, wanted.threads)
    if not opened:
        raise UserError("--engines: " + "; ".join(subject.left_out))
    others = subject.open_others(wanted.models, wanted.threads)
    measured = _detection if task == "detection" else _segmentation
    section = measured(subject, opened, others, picture, wanted)
    section.notes += [f"left out: {reason}" for reason in subject.left_out]
    yield section
    setting = THRESHOLDS[0] if task == "detection" else size_of(picture)
    best = best_engine(section.timings, setting, list(opened))
    single = load(opened[best].path, best, threads=1) if ENGINES[best].apart else None
    timings = measure_folder(opened[best].predictor, single, paths, FOLDER_REPETITIONS)
    ratios = folder_ratios(timings, best, wanted.threads)
    rates = [
        f"{way}: {len(paths) / timing.median:.1f} pictures/s" for way, timing in timings.items()
    ]
    yield Section(f"{subject.manifest.task}, {len(paths)} picture files", timings, ratios, rates)
    yield _start(subject, opened | others, paths[0], wanted)


def _detection(
    subject: Subject,
    opened: dict[str, Opened],
    others: dict[str, Opened],
    picture: Picture,
    wanted: Wanted,
) -> Section:
    calls = detector_rows(subject, opened | others, picture, wanted.threads)
    timings = _measure(calls, wanted)
    ratios = detector_ratios(timings, list(opened), wanted.threads)
    wished = " and ".join(f"{count} of at least {score}" for score, count in CANDIDATES.items())
    notes = [
        f"width 1.0, 90 classes; a decoded picture of {size_of(picture)} to boxes, by threshold",
        f"random weights, ours and torchvision's, fitted to give some {wished} before NMS",
    ]
    return Section("SSDLite 320", timings, ratios, notes)


def _segmentation(
    subject: Subject,
    opened: dict[str, Opened],
    others: dict[str, Opened],
    picture: Picture,
    wanted: Wanted,
) -> Section:
    calls = segmenter_rows(subject, opened | others, picture, wanted.threads, wanted.tflite)
    timings = _measure(calls, wanted)
    sizes = size_of(picture), size_of(enlarge(picture))
    ratios = segmenter_ratios(timings, list(opened), list(others), sizes)
    notes = ["light head, 21 classes; a decoded picture to its label map, by the picture's size"]
    if wanted.tflite is not None:
        notes.append(f"TFLite runtime: {wanted.tflite.name} on a prepared picture")
    return Section("DeepLabv3 513", timings, ratios, notes)


def _measure(calls: Calls, wanted: Wanted) -> dict[str, Timing]:
    with tqdm(total=len(calls) * wanted.repetitions, leave=False) as bar:
        return measure(calls, wanted.repetitions, advance=bar.update)


def _start(
    subject: Subject, opened: Mapping[str, Opened], picture: Path, wanted: Wanted
) -> Section:
    """Start-up of each engine."""
    notes = [f"a fresh Python to its first result, median of {PROCESSES}"]
    starts = {name: (path, engine) for name, (_, path, engine) in opened.items()}
    starts["a checkpoint, by default"] = (subject.checkpoint, None)
    for name, (path, engine) in starts.items():
        seconds, torch_came = measure_startup(path, engine, wanted.threads, picture)
        notes.append(f"{name}: {seconds:.2f} s{'' if torch_came else ', without importing torch'}")
    return Section(f"{subject.manifest.task}, start-up", notes=notes)


@contextmanager
def _silence() -> Iterator[None]:
    """Without what the formats' own converters tell of their work."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    quiet: Any = StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
