import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.commands.whole_file import PART
from mnv2_dense.prediction import loading, sources
from mnv2_dense.prediction.engine import Engine
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.video import VideoWriter, read_format, read_frames
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import Outcome, run_tool
from tests.prediction.networks import Brightness, Colors

av = pytest.importorskip("av")
SIZE, RATE, FRAMES = ImageSize(48, 64), Fraction(24), 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video that gets brighter."""
    with VideoWriter(tmp_path / "clip.mp4", RATE, SIZE) as writer:
        for number in range(FRAMES):
            writer.add(np.full((*SIZE, 3), (20 * number, 0, 0), np.uint8))
    return tmp_path / "clip.mp4"


def predict(
    engine: Engine, out: Path, *sources: object, monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    weights = out.with_name("model.onnx")
    weights.write_bytes(b"by hand")

    def load(*_: object, **__: object) -> Predictor:
        return Predictor(engine, 2)

    monkeypatch.setattr(loading, "load", load)
    return run_tool("predict", *sources, "--weights", weights, "--out", out)


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("engine", [Brightness(), Colors()], ids=["boxes", "label maps"])
def test_a_video_gives_an_annotated_video_and_a_line_per_frame(
    engine: Engine, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    outcome = predict(engine, out, clip, monkeypatch=monkeypatch).require_success()
    assert f"wrote {out / 'clip.mp4'} and {out / 'clip.jsonl'}: {FRAMES} frames" in outcome.out
    assert {path.name for path in out.iterdir()} == {"clip.mp4", "clip.jsonl"}
    assert read_format(out / "clip.mp4") == (RATE, FRAMES)
    pairs = list(zip(read_frames(clip), read_frames(out / "clip.mp4"), strict=True))
    assert all(before.shape == after.shape == (*SIZE, 3) for before, after in pairs)
    assert max(np.abs(one.astype(int) - other).max() for one, other in pairs) > 50  # drawn on
    lines = read_lines(out / "clip.jsonl")
    assert [line["frame"] for line in lines] == list(range(1, FRAMES + 1))
    if isinstance(engine, Brightness):
        assert [bool(line["records"]) for line in lines] == [n >= 4 for n in range(FRAMES)]
    else:
        assert lines[-1]["shares"] == {"red": 1.0}
    predict(engine, out, clip, monkeypatch=monkeypatch).require_success()
    assert {"clip-2.mp4", "clip-2.jsonl"} < {path.name for path in out.iterdir()}


def test_a_torn_video_keeps_what_was_read(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> Iterator[np.ndarray]:
        for number, frame in enumerate(read_frames(path)):
            if number == 5:
                raise sources.UserError(f"{path}: broken after 5 frames")
            yield frame

    monkeypatch.setattr(sources, "read_frames", read)
    (tmp_path / "no.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    outcome = predict(Brightness(), out, tmp_path / "no.mp4", clip, 93, monkeypatch=monkeypatch)
    assert outcome.code == 2
    assert f"{tmp_path / 'no.mp4'}: no video that can be read" in outcome.err
    assert f"{clip}: broken after 5 frames" in outcome.err
    assert "camera 93: no such camera" in outcome.err
    assert read_format(out / "clip.mp4").frames == 5
    assert len(read_lines(out / "clip.jsonl")) == 5
    assert not [path for path in out.iterdir() if path.name.endswith(PART)]


def test_a_video_comes_after_a_picture_that_failed(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a broken one before a whole one; all are named in one line."""
    broken, gone = tmp_path / "broken.png", tmp_path / "gone.png"
    broken.write_bytes(b"no picture")
    sources = (broken, gone, tmp_path / "gone.mp4", clip)
    outcome = predict(Brightness(), tmp_path / "out", *sources, monkeypatch=monkeypatch)
    assert (outcome.code, outcome.err.splitlines()[-1].count("error: ")) == (2, 1)
    assert f"error: 2 of 2 pictures failed: {broken}: " in outcome.err
    words = f"; {gone}: no such file or folder; {tmp_path / 'gone.mp4'}: no such video file\n"
    assert outcome.err.endswith(words)
    assert f"{tmp_path / 'out' / 'clip.jsonl'}: {FRAMES} frames, seen by" in outcome.out
    assert len(read_lines(tmp_path / "out" / "clip.jsonl")) == FRAMES


def test_a_video_is_shown_where_no_picture_was_found(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, out = tmp_path / "gone.png", tmp_path / "out"
    outcome = predict(Brightness(), out, gone, clip, monkeypatch=monkeypatch)
    assert outcome.code == 2
    assert outcome.err.endswith(f"error: {gone}: no such file or folder\n")
    assert {path.name for path in out.iterdir()} == {"clip.mp4", "clip.jsonl"}


def test_a_camera_is_looked_through_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(number: int) -> Iterator[np.ndarray]:
        for _ in range(3):
            yield np.full((*SIZE, 3), 200, np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "read_camera", read)
    monkeypatch.chdir(tmp_path)
    outcome = predict(Brightness(), tmp_path / "out", 0, monkeypatch=monkeypatch)
    outcome.require_success()
    assert len(read_lines(tmp_path / "out" / "camera-0.jsonl")) == 3
    assert read_format(tmp_path / "out" / "camera-0.mp4").frames == 3
