"""Pictures in files: one call for the whole folder beside a call for each of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from mnv2_dense.benchmarking.interleaving import Timing, measure
from mnv2_dense.drawing import Picture
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.shapes.scene import draw_scene

PICTURES = 64
SIZE = (640, 480)
_QUALITY = 90
ONE_BY_ONE, WHOLE, ONE_THREAD = "one by one", "whole folder", "one by one, one thread"


@contextmanager
def jpeg_folder() -> Iterator[Path]:
    """A folder of JPEGs of usual size: textured shapes, each picture shifted by some more."""
    scene = draw_picture(*SIZE)
    with TemporaryDirectory(prefix="mnv2_dense-") as name:
        for number in range(PICTURES):
            shifted = Image.fromarray(np.roll(scene, 10 * number, axis=1))
            shifted.save(Path(name, f"{number:03}.jpg"), quality=_QUALITY)
        yield Path(name)


def draw_picture(width: int, height: int) -> Picture:
    """A picture of textured shapes, always the same; it is at least as wide as high."""
    return np.ascontiguousarray(draw_scene((0, 0), width).picture[:height])


def measure_folder(
    predictor: Predictor, single: Predictor | None, paths: Sequence[Path], repetitions: int
) -> dict[str, Timing]:
    """Times the ways to predict all of the pictures, JPEG decoding included.

    Args:
        predictor: Of the best engine.
        single: The same of one thread: what a picture costs where nothing is shared. None for
            PyTorch, which has its threads for the whole process.
        paths: The pictures.
        repetitions: Of each way.
    """

    def one_by_one(predictor: Predictor = predictor) -> None:
        for path in paths:
            predictor.predict(path)

    def whole() -> None:
        for _ in predictor.predict(paths):
            pass

    ways = {ONE_BY_ONE: one_by_one, WHOLE: whole}
    if single is not None:
        ways[ONE_THREAD] = partial(one_by_one, single)
    return measure(ways, repetitions, warm=False)
