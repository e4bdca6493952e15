from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction import video
from mnv2_dense.prediction.video import is_video, read_camera, read_frames
from tests.prediction.clips import FRAMES, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("video") / "clip.mp4")


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, 1), (-90, 3), (180, 2), (270, 3)])
def test_frames_are_turned_as_the_rotation_says(degrees: int, quarters: int) -> None:
    """FFmpeg turns a frame against the clock by its rotation to show it."""
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(video._upright(picture, degrees), np.rot90(picture, quarters))


@pytest.mark.parametrize(
    "content", [b"", b"no video", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", None]
)
def test_what_is_no_video(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path}: no "):
        next(read_frames(path))


def test_no_camera() -> None:
    with pytest.raises(UserError, match="camera 93: no such camera"):
        next(read_camera(93))
    with pytest.raises(UserError, match="20240101123456: no such camera, and no file of that name"):
        next(read_camera(20240101123456))


def test_names_of_videos() -> None:
    assert is_video(Path("a.MP4"))
    assert not is_video(Path("a.png"))


@pytest.mark.parametrize("name", ["a b.mp4", "ü#%20.mp4", "q[1],'.mp4"])
def test_paths_of_any_characters(clip: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    assert len(list(read_frames(path))) == FRAMES


def test_cameras_are_counted_from_0() -> None:
    with pytest.raises(UserError, match="camera -1: cameras are counted from 0"):
        next(read_camera(-1))
