import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.engine import DetectorArrays
from mnv2_dense.prediction.predictor import Predictions, Predictor
from mnv2_dense.prediction.results import DetectionResult, Result
from tests.prediction.networks import Brightness

COUNT = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of rising brightness; the third one is broken."""
    for number in range(COUNT):
        shade = (20 * number, 0, 0)
        Image.new("RGB", (40, 30), shade).save(tmp_path / f"{number:02}.png")
    (tmp_path / "02.png").write_bytes((tmp_path / "01.png").read_bytes()[:60])
    return tmp_path


def many(predictor: Predictor, source: Any, batch: int = 1) -> Predictions:
    found = predictor.predict(source, score_threshold=0.0, batch=batch)
    assert isinstance(found, Predictions)
    return found


def brightness(results: list[Result]) -> list[float]:
    found = [each for each in results if isinstance(each, DetectionResult)]
    assert len(found) == len(results)
    return [round(float(each.scores.sum()) * 255) for each in found]


@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (3, 1), (2, 5), (2, 50)])
def test_a_folder_comes_in_order_and_a_broken_picture_is_named(
    folder: Path, threads: int, batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    found = many(Predictor(Brightness(), threads), folder, batch=batch)
    with caplog.at_level(logging.WARNING):
        results = list(found)
    left = [number for number in range(COUNT) if number != 2]
    assert brightness(results) == [20 * number for number in left]
    assert [result.source for result in results] == [str(folder / f"{n:02}.png") for n in left]
    (failure,) = found.failed
    assert failure.source == str(folder / "02.png")
    assert failure.message in caplog.text
    assert str(folder / "02.png") in failure.message


def test_engines_are_opened_when_they_are_due_and_used_by_one_thread_each(folder: Path) -> None:
    opened: list[Brightness] = []
    busy: set[int] = set()

    class Alone(Brightness):
        def run(self, images: np.ndarray, score_threshold: float = 0.0) -> DetectorArrays:
            assert id(self) not in busy
            busy.add(id(self))
            threading.Event().wait(0.005)
            found = super().run(images, score_threshold)
            busy.remove(id(self))
            return found

    def open_more() -> Brightness:
        opened.append(Alone())
        return opened[-1]

    first = Alone()
    predictor = Predictor(first, 3, open_more)
    predictor.predict(np.zeros((4, 4, 3), np.uint8))
    assert not opened
    for _ in range(2):
        assert len(list(many(predictor, folder))) == COUNT - 1
    assert 2 <= len(opened) <= 3
    assert sum(len(engine.batches) for engine in opened) == 2 * (COUNT - 1)
    assert len(first.batches) == 1


def test_one_picture_has_one_result_or_an_error(folder: Path) -> None:
    predictor = Predictor(Brightness(), 2)
    for source in (str(folder / "05.png"), folder / "05.png"):
        result = predictor.predict(source)
        assert isinstance(result, DetectionResult)
        assert brightness([result]) == [100]
        assert result.picture is None
    assert predictor.predict(np.zeros((1, 1, 3), np.uint8)).picture is not None
    for source in (folder / "02.png", folder / "gone.png"):
        with pytest.raises(UserError, match=str(source)):
            predictor.predict(source)


def test_what_is_no_picture_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 4)).save("picture", "PNG")
    sources: list[Any] = [None, 0.5, True, b"a.png"]
    for source in sources:
        words = f"^picture: a {type(source).__name__} is no picture; give "
        with pytest.raises(UserError, match=words):
            Predictor(Brightness(), 1).predict(source)


@pytest.mark.parametrize("batch", [1, 3])
def test_sources_of_a_list_that_fail_are_named_and_the_rest_goes_on(
    folder: Path, batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "empty").mkdir()
    failing = [folder / "empty", f"{folder}/*.gif", folder / "no.mp4", None]
    good = folder / "05.png"
    with caplog.at_level(logging.WARNING):
        found = many(Predictor(Brightness(), 1), [*failing, good, *failing, good], batch=batch)
        assert brightness(list(found)) == [100, 100]
    expected = [*map(str, failing[:3]), "picture 1", *map(str, failing[:3]), "picture 2"]
    assert [failure.source for failure in found.failed] == expected
    for source, message in found.failed:
        assert source in message
        assert message in caplog.text
    for source in failing[:3]:
        with pytest.raises(UserError):
            next(many(Predictor(Brightness(), 1), source))


@pytest.mark.parametrize(("threads", "most"), [(1, 4), (3, 6)])
def test_two_batches_per_thread_are_in_memory_and_of_two_threads_at_least(
    threads: int, most: int
) -> None:
    asked: list[int] = []
    full = threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        for number in range(100):
            asked.append(number)
            if len(asked) == 5 * most:
                full.set()
            yield np.zeros((4, 4, 3), np.uint8)

    with many(Predictor(Brightness(), threads), pictures(), batch=5) as found:
        next(found)
        assert full.wait(5)
        time.sleep(0.05)
        assert len(asked) == 5 * most


def test_leaving_early_ends_the_threads(folder: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with many(Predictor(Brightness(), 2), folder) as found:
        next(found)
    assert list(found) == []
    for _ in many(Predictor(Brightness(), 2), folder):
        break
    assert {thread.name for thread in threading.enumerate()} == before


@pytest.mark.parametrize(
    "option",
    [
        {"batch": 0},
        {"batch": 2.0},
        {"batch": "2"},
        {"score_threshold": 1.1},
        {"score_threshold": float("nan")},
        {"score_threshold": "0.3"},
        {"score_threshold": None},
    ],
)
def test_options_out_of_range(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^{next(iter(option))} is "):
        Predictor(Brightness(), 1).predict(np.zeros((4, 4, 3), np.uint8), **option)
