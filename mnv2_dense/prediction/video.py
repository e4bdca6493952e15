"""Videos read by PyAV (FFmpeg), and cameras by OpenCV."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.video_length import VideoLength

if TYPE_CHECKING:
    from av.container import InputContainer

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"),
)
"""File names, in lower case, that are taken for videos."""
FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,asf,flv,ogg,mpegvideo"
"""Containers that are opened: playlists, which name other files and addresses, are not."""
MAX_PIXELS = 178_956_970
"""Of a frame, as of a picture."""
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
        UserError: It cannot be opened, has no frame, or ends before its end; the frames up to
            there have been given.
    """
    av = load_av()
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        length = VideoLength(container, stream)
        try:
            for frame in container.decode(video=0):
                if frame.width * frame.height > MAX_PIXELS:
                    raise UserError(f"{path}: its frames are too large to be decoded safely")
                yield _upright(
                    np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), frame.rotation
                )
                length.see(frame)
        except av.error.FFmpegError as error:
            raise UserError(
                f"{path}: broken after {length.given} frames ({error.strerror}); what was read "
                "stays"
            ) from error
    length.check(path)


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
    except cv2.error as error:  # The number is too large for one.
        raise UserError(f"{number}: no such camera, and no file of that name") from error
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
