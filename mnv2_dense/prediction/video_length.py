"""Whether all frames of a video came, by what its header says of its length."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2_dense.errors import UserError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SHORTEST = 0.9
"""Of the seconds that a header states: less is a torn video. Headers round."""
MICROSECOND = Fraction(1, 1_000_000)
"""FFmpeg's unit of a container's duration."""


class VideoLength:
    """Compares what came of a video with what was stated, without an alarm where frames are rare.

    Args:
        container: The video, just opened.
        stream: Its pictures.

    Attributes:
        given: Frames so far.
    """

    def __init__(self, container: "InputContainer", stream: "VideoStream") -> None:
        self.given = self._damaged = 0
        self._expected = stream.frames
        self._seconds = _stated_seconds(container, stream)
        # AVI also counts the frames that are left out, where the one before is shown for longer.
        self._slots = float(stream.average_rate or 0) if container.format.name == "avi" else 0.0
        self._times: list[float] = []  # Of the first and the last frame.
        self._shown = 0.0

    def see(self, frame: "VideoFrame") -> None:
        """Takes note of the next frame."""
        self.given += 1
        self._damaged += frame.is_corrupt
        if frame.time is not None:
            self._times = [*self._times[:1], frame.time]
            self._shown = _in_seconds(frame.duration, frame.time_base)

    def check(self, path: Path) -> None:
        """Refuses a video that ended before its end.

        Raises:
            UserError: There was no frame, fewer than stated, or one that is damaged.
        """
        end = self._end()
        if max(self.given, round(end * self._slots)) < self._expected:
            text = f"ends after {self.given} of {self._expected} frames; what was read stays"
        elif not self.given:
            text = "has no frame that can be decoded"
        elif not self._expected and 0 < end < SHORTEST * self._seconds:
            text = f"ends at {end:.2f} of {self._seconds:.2f} seconds; what was read stays"
        elif self._damaged:
            text = f"is damaged: {self._damaged} of {self.given} frames came only in part"
        else:
            return
        raise UserError(f"{path}: {text}")

    def _end(self) -> float:
        """When the last frame ends, in seconds; 0 where it cannot be told.

        It is shown for some time, too: where frames are rare, for long.
        """
        if not self._times:
            return 0.0
        first, last = self._times[0], self._times[-1]
        shown = max(self._shown, (last - first) / max(1, self.given - 1))
        return last - min(first, 0.0) + shown if shown else 0.0


def _stated_seconds(container: "InputContainer", stream: "VideoStream") -> float:
    """How long a video's pictures last, by its header; 0 where only the whole, with sound, is told.

    Matroska's writers note it as a text, `00:00:04.000000000`. MPEG's streams have no header:
    FFmpeg guesses from what is there.
    """
    name = container.format.name
    if name.startswith("mpeg"):
        return 0.0
    if not name.startswith("matroska"):
        return _in_seconds(stream.duration, stream.time_base)
    try:
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
    except ValueError:
        alone = len(container.streams) == 1
        return _in_seconds(container.duration, MICROSECOND) if alone else 0.0
    return 3600 * hours + 60 * minutes + seconds


def _in_seconds(duration: int | None, unit: Fraction | None) -> float:
    return float(duration * unit) if duration and unit else 0.0
