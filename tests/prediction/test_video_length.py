from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.video import read_frames
from tests.prediction.clips import FRAMES, av, repack, shades, write_at, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("video") / "clip.mp4")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 frames of which each needs as many bytes as the others."""
    return write_at(tmp_path_factory.mktemp("noise") / "noise.mkv", [0, 1, 2, 3])


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


@pytest.mark.parametrize(("share", "kept"), [(0.1, 0), (0.45, 1), (0.7, 2)])
def test_a_video_torn_near_its_beginning_is_no_success(
    noise: Path, tmp_path: Path, share: float, kept: int
) -> None:
    path = tmp_path / "a.mkv"
    data = noise.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    read = []
    with pytest.raises(UserError, match=f"{path}: (has no frame|ends at)") as error:
        read.extend(read_frames(path))
    assert len(read) == kept
    assert ("no frame that can be decoded" in str(error.value)) == (not kept)


@pytest.mark.parametrize(
    "moments",
    [[0], [0, 1, 100], [0, 100, 101], [100, 101, 102]],
    ids=["one", "last", "first", "late"],
)
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        *((".mkv", {}), (".mkv", {"live": "1"}), (".mp4", {}), (".flv", {}), (".wmv", {})),
        *((".mp4", {"movflags": "frag_keyframe+empty_moov"}), (".ts", {}), (".avi", {})),
    ],
)
def test_frames_at_any_moments_are_no_tear(
    tmp_path: Path, suffix: str, options: dict[str, str], moments: list[int]
) -> None:
    path = write_at(tmp_path / f"a{suffix}", moments, **options)
    assert len(list(read_frames(path))) == len(moments)


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


def test_damage_in_the_middle_is_named(noise: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    data = bytearray(noise.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(data)
    read = []
    with pytest.raises(UserError, match=f"{path}: is damaged: 1 of 4 frames came only in part"):
        read.extend(read_frames(path))
    assert len(read) == 4
