"""Videos written by PyAV (FFmpeg)."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from mnv2_dense.drawing import Picture
from mnv2_dense.prediction.video import load_av
from mnv2_dense.structures import ImageSize

ENCODERS = ("libx264", "mpeg4")
"""Tried in turn: H.264 where the build of FFmpeg has it, else MPEG-4."""


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
        try:
            if error is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
