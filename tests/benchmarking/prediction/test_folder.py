from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.benchmarking.prediction import folder
from mnv2_dense.benchmarking.prediction.folder import (
    ONE_BY_ONE,
    ONE_THREAD,
    SIZE,
    WHOLE,
    draw_picture,
    jpeg_folder,
    measure_folder,
)
from mnv2_dense.prediction.predictor import Predictor
from tests.prediction.networks import Colors

PICTURES = 3


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "PICTURES", PICTURES)


def test_jpegs_of_usual_size_are_there_for_a_while() -> None:
    with jpeg_folder() as place:
        paths = sorted(place.iterdir())
        for path in paths:
            with Image.open(path) as image:
                assert (image.format, image.size) == ("JPEG", SIZE)
        assert len(paths) == PICTURES
        assert len({path.read_bytes() for path in paths}) == PICTURES
    assert not place.exists()


def test_every_way_predicts_all_pictures(tmp_path: Path) -> None:
    engine, alone = Colors(), Colors()
    with jpeg_folder() as place:
        paths = sorted(place.iterdir())
        timings = measure_folder(Predictor(engine, 1), Predictor(alone, 1), paths, 2)
    assert list(timings) == [ONE_BY_ONE, WHOLE, ONE_THREAD]
    assert {len(each.seconds) for each in timings.values()} == {2}
    rounds = 3  # The first is not timed.
    assert len(alone.seen) == rounds * PICTURES
    assert len(engine.seen) == 2 * rounds * PICTURES


def test_without_a_single_thread_there_are_two_ways() -> None:
    with jpeg_folder() as place:
        timings = measure_folder(Predictor(Colors(), 1), None, [*place.iterdir()], 1)
    assert list(timings) == [ONE_BY_ONE, WHOLE]


def test_the_drawn_picture_is_textured_and_always_the_same() -> None:
    picture = draw_picture(50, 30)
    assert (picture.shape, picture.dtype) == ((30, 50, 3), np.uint8)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 300
    np.testing.assert_array_equal(picture, draw_picture(50, 30))
