"""Videos read and written by PyAV (FFmpeg), and cameras by OpenCV."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import cv2
import numpy as np

from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"),
)
"""File names, in lower case, that are taken for videos."""
FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,asf,flv,ogg,mpegvideo"
"""Containers that are opened: playlists, which name other files and addresses, are not."""
MAX_PIXELS = 178_956_970
"""Of a frame, as of a picture."""
ENCODERS = ("libx264", "mpeg4")
"""Tried in turn: H.264 where the build of FFmpeg has it, else MPEG-4."""
_RATE = Fraction(25)
"""Frames per second where a video does not say."""


class VideoFormat(NamedTuple):
    """What a video says of itself: frames per second, and how many there are (0: unknown)."""

    rate: Fraction
    frames: int


def is_video(path: Path) -> bool:
    """Whether a file's name is a video's."""
    return path.suffix.lower() in SUFFIXES


def load_av() -> Any:
    """PyAV.

    Raises:
        UserError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV; pip install 'mnv2-dense[video]'") from error
    return av


def read_format(path: Path) -> VideoFormat:
    """Rate and length of a video, by its header.

    Raises:
        UserError: See `read_frames`.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        return VideoFormat(Fraction(stream.average_rate or _RATE), stream.frames)


def read_frames(path: Path) -> Iterator[Picture]:
    """The frames of a video, uint8 RGB [H, W, 3], turned as its rotation says.

    Raises:
        UserError: It cannot be opened, or ends before its end; the frames up to there have been
            given.
    """
    av, given = load_av(), 0
    first = last = 0.0
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        expected, seconds = stream.frames, _stated_seconds(stream)
        try:
            for frame in container.decode(video=0):
                if frame.width * frame.height > MAX_PIXELS:
                    raise UserError(f"{path}: its frames are too large to be decoded safely")
                yield _upright(
                    np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), frame.rotation
                )
                given += 1
                last = frame.time if frame.time is not None else last
                first = last if given == 1 else first
        except av.error.FFmpegError as error:
            raise UserError(
                f"{path}: broken after {given} frames ({error.strerror}); what was read stays"
            ) from error
    if given < expected:
        raise UserError(f"{path}: ends after {given} of {expected} frames; what was read stays")
    # The last frame is shown for some time, too: where frames are rare, for long.
    if not expected and given > 1 and (last - first) * given / (given - 1) < 0.9 * seconds:
        raise UserError(
            f"{path}: ends at {last - first:.1f} of {seconds:.1f} seconds; what was read stays"
        )


def _stated_seconds(stream: "VideoStream") -> float:
    """How long a video's pictures last, by its header; 0 where only the whole, with sound, is told.

    Matroska's writers note it as a text, `00:00:04.000000000`.
    """
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    try:
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


@contextmanager
def _open(path: Path) -> "Iterator[InputContainer]":
    av = load_av()
    if not path.is_file():
        raise UserError(f"{path}: no such video file")
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        # As it is: FFmpeg does not decode what a URI escapes.
        container = av.open(f"file:{path.absolute()}", options=options)
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: no video that can be read ({reason})") from error
    with container:
        if not container.streams.video:
            raise UserError(f"{path}: has no pictures, only sound")
        yield container


def _upright(picture: Picture, rotation: int) -> Picture:
    """A frame turned by quarters; FFmpeg counts degrees against the clock."""
    return np.ascontiguousarray(np.rot90(picture, round(rotation / 90) % 4))


class VideoWriter:
    """Writes frames into an MP4 file.

    Args:
        path: The file.
        rate: Frames per second.
        size: Of the frames; an odd side is cut by one pixel, as the colours are halved.
    """

    def __init__(self, path: Path, rate: Fraction, size: ImageSize) -> None:
        av = load_av()
        self.size = ImageSize(max(2, size.height // 2 * 2), max(2, size.width // 2 * 2))
        name = next(name for name in ENCODERS if name in av.codecs_available)
        self._container = av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream(name, rate=rate.limit_denominator(1001))
        self._stream.height, self._stream.width = self.size
        self._stream.pix_fmt = "yuv420p"
        self._frame = av.VideoFrame.from_ndarray

    def add(self, picture: Picture) -> None:
        """Writes the next frame."""
        height, width = self.size
        cut = np.ascontiguousarray(picture[:height, :width])
        if cut.shape[:2] != self.size:
            grown = (0, height - cut.shape[0], 0, width - cut.shape[1])
            cut = cv2.copyMakeBorder(cut, *grown, cv2.BORDER_REPLICATE)
        self._container.mux(self._stream.encode(self._frame(cut, format="rgb24")))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


def read_camera(number: int) -> Iterator[Picture]:
    """The frames of a camera, uint8 RGB [H, W, 3], until it is unplugged.

    Raises:
        UserError: There is none of that number.
    """
    if number < 0:  # On which OpenCV crashes.
        raise UserError(f"camera {number}: cameras are counted from 0")
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        camera = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(before)
    try:
        if not camera.isOpened():
            raise UserError(f"camera {number}: no such camera, or it is in use by another program")
        while True:
            read, frame = camera.read()
            if not read:
                return
            yield np.ascontiguousarray(frame[:, :, ::-1], np.uint8)
    finally:
        camera.release()
