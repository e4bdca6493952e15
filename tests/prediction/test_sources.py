from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.sources import Item, find_items, is_one, match_videos, to_picture
from mnv2_dense.prediction.video import read_frames

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def names(source: Any) -> list[str]:
    return [item.name for item in find_items(source)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "sub/a.jpg", "sub/c[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_folders_patterns_and_lists_are_many(folder: Path) -> None:
    everything = [str(folder / name) for name in ("b.png", "sub/a.jpg", "sub/c[1].png")]
    assert names(folder) == names(str(folder)) == everything
    assert names(f"{folder}/**/*.???") == everything
    assert names([folder / "sub", PIXELS, "gone.png", PIXELS]) == [
        *everything[1:],
        *("picture 1", "gone.png", "picture 2"),
    ]
    assert names(iter([PIXELS])) == ["picture 1"]
    several: list[Any] = [folder, f"{folder}/*.png", [PIXELS], 0, np.int64(0), "clip.mp4"]
    assert not any(map(is_one, several))


def failing(source: Any) -> list[str]:
    """Names of the items that cannot be read."""
    found = []
    for item in find_items(source):
        try:
            item.read()
        except UserError:
            found.append(item.name)
    return found


def test_a_source_of_a_list_that_has_no_picture_is_an_item_that_fails(folder: Path) -> None:
    (folder / "empty").mkdir()
    paths = [folder / "empty", f"{folder}/*.gif", folder / "no.mp4", "", "x" * 300, "*" * 300]
    bad = [*paths, None, folder / "gone.png"]
    expected = [*map(str, paths), "picture 1", str(bad[-1])]
    picture = folder / "b.png"
    assert failing([bad, picture, iter(bad[:1]), picture]) == [*expected, str(bad[0])]
    assert names([bad, picture])[-1] == str(picture)


def write_broken_video(path: Path) -> int:
    """Writes 20 frames and cuts off the last ones; how many are left."""
    av = pytest.importorskip("av")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        for _ in range(20):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        out.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    left: list[np.ndarray] = []
    with pytest.raises(UserError, match=str(path)):
        left.extend(read_frames(path))
    assert 0 < len(left) < 20
    return len(left)


def test_a_video_of_several_that_breaks_gives_its_frames_and_then_fails(folder: Path) -> None:
    videos = [folder / "a.avi", folder / "b.avi"]
    frames = [write_broken_video(path) for path in videos]
    expected = [
        name
        for path, count in zip(videos, frames, strict=True)
        for name in (*(f"{path} frame {number + 1}" for number in range(count)), str(path))
    ]
    for several in (videos, f"{folder}/*.avi"):
        assert names(several) == expected
        assert failing(several) == list(map(str, videos))
    with pytest.raises(UserError, match=str(videos[0])):
        names(videos[0])


@pytest.mark.parametrize("source", [None, 2.5, True, b"ab", object()])
def test_what_is_no_source_is_no_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("picture 1", "PNG")
    assert is_one(source)
    (item,) = find_items([source])
    with pytest.raises(UserError, match=f"picture 1: a {type(source).__name__} is no picture"):
        item.read()


def test_patterns_of_videos(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "c[1].mp4", "d.png"):
        (tmp_path / name).touch()
    everything = [str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c[1].mp4")]
    assert match_videos(f"{tmp_path}/*.mp4") == everything
    for alone in (everything[2], str(tmp_path / "gone*.mp4")):
        assert match_videos(alone) == [alone]


def test_one_picture_is_one(folder: Path) -> None:
    in_memory = (PIXELS, Image.fromarray(PIXELS), torch.from_numpy(PIXELS).permute(2, 0, 1))
    # A file may have a pattern's signs in its name; one that is missing is told when it is read.
    for source in (folder / "b.png", str(folder / "sub" / "c[1].png"), "gone.png", *in_memory):
        assert is_one(source)
        assert len(names([source])) == 1


@pytest.mark.parametrize("source", ["*.png", ".", "a/*.jpg"])
def test_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no picture"):
        names(source)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PIXELS,
        lambda: PIXELS[::-1].copy()[::-1],
        lambda: Image.fromarray(PIXELS),
        lambda: Image.fromarray(PIXELS).convert("RGBA"),
        lambda: torch.from_numpy(PIXELS).permute(2, 0, 1),
        lambda: (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).requires_grad_(),
    ],
)
def test_pictures_in_memory(make: Callable[[], Any]) -> None:
    picture = to_picture(make(), "a")
    assert picture.flags.c_contiguous
    assert np.array_equal(picture, PIXELS)


def test_colour_modes_of_pil_are_converted() -> None:
    inks = Image.fromarray(PIXELS).convert("CMYK")
    assert np.array_equal(to_picture(inks, "a"), np.array(inks.convert("RGB")))
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    assert np.array_equal(to_picture(deep, "a")[..., 1], PIXELS[..., 0])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (PIXELS[..., 0], r"uint8 RGB \[H, W, 3\], not uint8 \[4, 6\]"),
        (PIXELS / 255, "not float64"),
        (PIXELS[:0], r"not uint8 \[0, 6, 3\]"),
        (PIXELS[None], "not uint8"),
        (torch.zeros(4, 6, 3), r"a tensor is \[3, H, W\], not \[4, 6, 3\]"),
        (torch.full((3, 4, 6), 1.5), "from 0 to 1"),
        (torch.full((3, 4, 6), float("nan")), "NaN"),
        (3.5, "a float is no picture"),
        (None, "a NoneType is no picture"),
        (b"ab", "a bytes is no picture"),
        (7, "a int is no picture"),
    ],
)
def test_what_is_no_picture(source: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"^picture 1: .*{words}"):
        to_picture(source, "picture 1")


def test_a_file_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(Item(str(tmp_path / "a.png")).read(), np.rot90(PIXELS, -1))


def test_half_precision_is_read() -> None:
    half = (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).to(torch.bfloat16)
    picture = to_picture(half, "a")
    assert np.abs(picture.astype(int) - PIXELS).max() <= 1


def test_numbers_in_a_list_are_no_cameras() -> None:
    for source in ([3, 4], [[1, 2], [3, 4]]):
        items = find_items(source)  # pyrefly: ignore[bad-argument-type]
        with pytest.raises(UserError, match="is no picture"):
            next(items).read()


def test_an_empty_text_is_not_the_current_folder() -> None:
    assert is_one("") is False
    with pytest.raises(UserError, match="an empty text is no path"):
        next(find_items(""))
