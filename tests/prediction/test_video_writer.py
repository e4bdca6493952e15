from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.prediction import video_writer
from mnv2_dense.prediction.video import read_format, read_frames
from mnv2_dense.structures import ImageSize
from tests.prediction.clips import FRAMES, RATE, SIZE, shades, write_clip


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_what_is_written_is_read(
    tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_writer, "ENCODERS", (encoder,))
    path = write_clip(tmp_path / "a.mp4")
    assert read_format(path) == (RATE, FRAMES)
    frames = list(read_frames(path))
    assert len(frames) == FRAMES
    for frame, expected in zip(frames, shades(FRAMES), strict=True):
        assert frame.shape == (*SIZE, 3)
        assert np.abs(frame.astype(int) - expected).max() < 10  # levels


@pytest.mark.parametrize(("given", "kept"), [((47, 65), (46, 64)), ((1, 1), (2, 2))])
def test_odd_sides_are_cut_to_even_ones(
    tmp_path: Path, given: tuple[int, int], kept: tuple[int, int]
) -> None:
    path = write_clip(tmp_path / "a.mp4", ImageSize(*given))
    assert {frame.shape[:2] for frame in read_frames(path)} == {kept}
