"""Small videos, written and packed in several ways."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.prediction.video_writer import VideoWriter
from mnv2_dense.structures import ImageSize

av = pytest.importorskip("av")
SIZE, RATE, FRAMES = ImageSize(48, 64), Fraction(30000, 1001), 30


def shades(count: int, size: ImageSize = SIZE) -> list[np.ndarray]:
    return [np.full((*size, 3), 8 * number, np.uint8) for number in range(count)]


def write_clip(path: Path, size: ImageSize = SIZE) -> Path:
    with VideoWriter(path, RATE, size) as writer:
        for frame in shades(FRAMES, size):
            writer.add(frame)
    return path


def repack(clip: Path, path: Path, **options: str) -> Path:
    """The same frames in another container."""
    with av.open(str(clip)) as given, av.open(str(path), "w", options=options) as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path


def write_at(path: Path, moments: Sequence[int], **options: str) -> Path:
    """Frames of noise that begin at these twenty-fifths of a second."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream("flv" if path.suffix == ".flv" else "mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "yuv420p"
        for moment in moments:
            picture = generator.integers(0, 256, (*SIZE, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path
