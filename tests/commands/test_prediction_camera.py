import os
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.prediction import sources
from mnv2_dense.prediction.results import DetectionResult
from mnv2_dense.prediction.video import read_frames
from tests.commands.predicted_videos import SIZE, predict, read_lines, write_clip
from tests.prediction.networks import Brightness

pytest.importorskip("av")


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A camera that shows 3 frames, and the next one only after the event."""
    more = threading.Event()

    def read(number: int) -> Iterator[np.ndarray]:
        for frame in range(100):
            if frame == 3:
                more.wait(10)
            yield np.full((*SIZE, 3), 200, np.uint8)

    monkeypatch.setattr(sources, "read_camera", read)
    return more


def interrupt_drawing(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, at: int) -> None:
    """Raises a signal, twice, while a frame is drawn."""
    draw, drawn = DetectionResult.draw, count(1)

    def interrupted(result: DetectionResult, *, legend: bool = True) -> np.ndarray:
        if next(drawn) == at:
            signal.raise_signal(number)
            signal.raise_signal(number)
        return draw(result, legend=legend)

    monkeypatch.setattr(DetectionResult, "draw", interrupted)


def check_camera(out: Path, frames: int) -> None:
    assert {path.name for path in out.iterdir()} == {"camera-0.mp4", "camera-0.jsonl"}
    assert len(read_lines(out / "camera-0.jsonl")) == frames
    assert len(list(read_frames(out / "camera-0.mp4"))) == frames


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("at", [1, 3, 20])
def test_a_camera_keeps_whole_frames_at_a_signal_while_one_is_drawn(
    number: signal.Signals,
    code: int,
    at: int,
    camera: threading.Event,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera.set()
    interrupt_drawing(monkeypatch, number, at)
    monkeypatch.chdir(tmp_path)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    outcome = predict(Brightness(), tmp_path / "out", 0, monkeypatch=monkeypatch)
    assert outcome.code == code, outcome.err
    assert f"camera-0.jsonl: {at} frame" in outcome.out
    check_camera(tmp_path / "out", at)
    assert before == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_waiting_for_a_camera(
    number: signal.Signals,
    code: int,
    camera: threading.Event,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), number)
        camera.wait(0.2)
        camera.set()

    draw, drawn = DetectionResult.draw, count(1)

    def last(result: DetectionResult, *, legend: bool = True) -> np.ndarray:
        if next(drawn) == 3:
            threading.Timer(0.3, interrupt).start()
        return draw(result, legend=legend)

    monkeypatch.setattr(DetectionResult, "draw", last)
    monkeypatch.chdir(tmp_path)
    outcome = predict(Brightness(), tmp_path / "out", 0, monkeypatch=monkeypatch)
    assert outcome.code == code, outcome.err
    check_camera(tmp_path / "out", 3)


def test_ctrl_c_leaves_nothing_of_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    interrupt_drawing(monkeypatch, signal.SIGINT, 3)
    outcome = predict(Brightness(), tmp_path / "out", clip, monkeypatch=monkeypatch)
    assert outcome.code == 130
    assert not list((tmp_path / "out").iterdir())
