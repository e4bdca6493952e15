from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.commands.whole_file import PART
from mnv2_dense.prediction import sources
from mnv2_dense.prediction.engine import Engine
from mnv2_dense.prediction.video import read_format, read_frames
from tests.commands.predicted_videos import FRAMES, RATE, SIZE, predict, read_lines, write_clip
from tests.prediction.networks import Brightness, Colors

av = pytest.importorskip("av")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


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


def test_without_drawings_a_video_gives_its_lines_alone(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    outcome = predict(Brightness(), out, clip, "--no-drawings", monkeypatch=monkeypatch)
    assert f"wrote {out / 'clip.jsonl'}: {FRAMES} frames" in outcome.require_success().out
    assert [path.name for path in out.iterdir()] == ["clip.jsonl"]
    assert len(read_lines(out / "clip.jsonl")) == FRAMES


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


def test_what_no_encoder_takes_is_named_and_the_rest_goes_on(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide, out = tmp_path / "wide.mkv", tmp_path / "out"
    with av.open(str(wide), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 20000, 16, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 20000, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])
    outcome = predict(Brightness(), out, wide, clip, 2**40, monkeypatch=monkeypatch)
    assert outcome.code == 2
    assert f"error: {wide}: its frames of 20000 x 16 pixels cannot be written" in outcome.err
    assert outcome.err.endswith(f"; {2**40}: no such camera, and no file of that name\n")
    assert {path.name for path in out.iterdir()} == {"clip.mp4", "clip.jsonl"}


def test_both_files_of_a_video_have_one_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("clip.jsonl", "clip-2.mp4"):
        (out / name).write_bytes(b"mine")
    predict(Brightness(), out, clip, monkeypatch=monkeypatch).require_success()
    written = {path.name for path in out.iterdir() if path.read_bytes() != b"mine"}
    assert written == {"clip-3.mp4", "clip-3.jsonl"}
