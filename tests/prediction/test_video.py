from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction import video
from mnv2_dense.prediction.video import VideoWriter, is_video, read_camera, read_format, read_frames
from mnv2_dense.structures import ImageSize

av = pytest.importorskip("av")
SIZE, RATE, FRAMES = ImageSize(48, 64), Fraction(30000, 1001), 30


def shades(count: int, size: ImageSize = SIZE) -> list[np.ndarray]:
    return [np.full((*size, 3), 8 * number, np.uint8) for number in range(count)]


def write(path: Path, size: ImageSize = SIZE) -> Path:
    with VideoWriter(path, RATE, size) as writer:
        for frame in shades(FRAMES, size):
            writer.add(frame)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "clip.mp4")


def repack(clip: Path, path: Path, **options: str) -> Path:
    """The same frames in another container."""
    with av.open(str(clip)) as given, av.open(str(path), "w", options=options) as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path


@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_what_is_written_is_read(
    tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "ENCODERS", (encoder,))
    path = write(tmp_path / "a.mp4")
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
    path = write(tmp_path / "a.mp4", ImageSize(*given))
    assert {frame.shape[:2] for frame in read_frames(path)} == {kept}


@pytest.mark.parametrize(("degrees", "quarters"), [(0, 0), (90, 1), (-90, 3), (180, 2), (270, 3)])
def test_frames_are_turned_as_the_rotation_says(degrees: int, quarters: int) -> None:
    """FFmpeg turns a frame against the clock by its rotation to show it."""
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(video._upright(picture, degrees), np.rot90(picture, quarters))


@pytest.mark.parametrize(("suffix", "options"), [(".mkv", {}), (".mp4", {"movflags": "faststart"})])
def test_a_torn_video_gives_what_is_there(
    clip: Path, tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    path = repack(clip, tmp_path / f"a{suffix}", **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    frames = read_frames(path)
    read = []
    with pytest.raises(UserError, match=f"{path}: .* what was read stays"):
        read.extend(frames)
    assert 0 <= len(read) < FRAMES


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


def test_names_of_videos() -> None:
    assert is_video(Path("a.MP4"))
    assert not is_video(Path("a.png"))


@pytest.mark.parametrize("name", ["a b.mp4", "ü#%20.mp4", "q[1],'.mp4"])
def test_paths_of_any_characters(clip: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(clip.read_bytes())
    assert len(list(read_frames(path))) == FRAMES


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_longer_sound_is_no_lack_of_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    codecs = ("libvpx", "libopus") if suffix == ".webm" else ("mpeg4", "ac3")
    with av.open(str(path), "w") as out:
        picture, sound = out.add_stream(codecs[0], rate=10), out.add_stream(codecs[1], rate=48000)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        for frame in shades(10):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(picture.encode())
        silence = np.zeros((2, 48000 * 3), np.float32)
        audio = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
        audio.sample_rate = 48000
        out.mux(sound.encode(audio))
        out.mux(sound.encode())
    assert len(list(read_frames(path))) == 10


def test_cameras_are_counted_from_0() -> None:
    with pytest.raises(UserError, match="camera -1: cameras are counted from 0"):
        next(read_camera(-1))
