"""Times prediction on this machine, beside other programs and the bare runtimes."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mnv2_dense.benchmarking.machine import use_threads
from mnv2_dense.benchmarking.prediction.folder import PICTURES, draw_picture, jpeg_folder
from mnv2_dense.benchmarking.prediction.lineup import line_up
from mnv2_dense.benchmarking.prediction.rows import size_of
from mnv2_dense.benchmarking.prediction.sections import (
    find_best,
    measure_files,
    measure_network,
    measure_starts,
)
from mnv2_dense.benchmarking.prediction.settings import SETTINGS
from mnv2_dense.benchmarking.prediction.wanted import Wanted as Wanted
from mnv2_dense.benchmarking.prediction.wanted import check
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands.benchmark import check_out, say_machine, tell
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.drawing import Picture
from mnv2_dense.image_files import find_images
from mnv2_dense.images import read_image

PICTURE = (500, 375)
"""Width and height of the picture, the most usual of VOC."""


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
    check(wanted)
    check_out(wanted.out)
    quiet_lightning()
    use_threads(wanted.threads)
    machine = say_machine(wanted.threads)
    with ended_by_sigterm(), _pictures(wanted.pictures) as paths:
        picture = draw_picture(*PICTURE) if wanted.pictures is None else _read_all(paths)[0]
        parts = (_measure(task, wanted, picture, paths) for task in wanted.tasks)
        about = {"machine": machine, "threads": wanted.threads, "picture": size_of(picture)}
        tell(chain.from_iterable(parts), about, wanted.out, wanted.repetitions)


@contextmanager
def _pictures(folder: Path | None) -> Iterator[list[Path]]:
    if folder is not None:
        yield find_images(folder)[:PICTURES]
        return
    with jpeg_folder() as drawn:
        yield find_images(drawn)


def _read_all(paths: Sequence[Path]) -> list[Picture]:
    """Every picture: one that cannot be read is found before the work, not after it."""
    return [read_image(path, upright=True) for path in paths]


def _measure(
    task: str, wanted: Wanted, picture: Picture, paths: Sequence[Path]
) -> Iterator[Section]:
    """The network itself, then its folder of pictures, then its start."""
    say(f"\n{SETTINGS[task]['name']}: writing files ...")
    with TemporaryDirectory(prefix="mnv2_dense-") as folder:
        with _silence():
            lineup = line_up(task, picture, Path(folder), wanted)
        section = measure_network(lineup)
        yield section
        yield measure_files(lineup, find_best(lineup, section), paths)
        yield measure_starts(lineup, paths[0])


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
