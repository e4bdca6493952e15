"""Videos and cameras: annotated videos, and what is seen in every frame as JSON lines."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from typing import Any

from mnv2_dense.commands.prediction_camera import CameraEnd
from mnv2_dense.commands.prediction_end import open_bar, say
from mnv2_dense.commands.prediction_kinds import counted
from mnv2_dense.commands.prediction_models import ModelRecorder
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.commands.whole_file import part_of, whole_file
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.predictor import Predictions
from mnv2_dense.prediction.results import Result, SegmentationResult
from mnv2_dense.prediction.video import VideoFormat, load_av, read_format
from mnv2_dense.prediction.video_writer import VideoWriter

CAMERA = VideoFormat(Fraction(25), 0)
"""Of what is written of a camera, which does not say how often it looks."""


def predict_videos(recorder: ModelRecorder, sources: Sequence[str | int], out: Path) -> None:
    """Writes `NAME.mp4`, the annotated video, and `NAME.jsonl`, a line per frame, of each source.

    The video is left out where the recorder draws nothing. Names that are taken are passed over,
    so that both files have the same. A camera is looked through until Ctrl-C or SIGTERM.

    Args:
        recorder: The network.
        sources: Videos by their paths, cameras by their numbers.
        out: Folder of the results.

    Raises:
        UserError: Videos could not be read to their end, and what was read is written; or their
            frames are too large for the encoder, and nothing is.
        SystemExit: SIGTERM came; what a camera had seen is written, an unfinished video is not.
    """
    if not sources:
        return
    load_av()
    failures: list[str] = []
    with ended_by_sigterm():
        for source in sources:
            try:
                failures += _predict_video(recorder, source, out)
            except UserError as error:
                failures.append(str(error))
    if failures:
        raise UserError("; ".join(failures))


def _predict_video(recorder: ModelRecorder, source: str | int, out: Path) -> list[str]:
    """Writes the results of a video, up to where it is broken, which is returned."""
    failures: list[str] = []
    found = recorder.model.predict(
        source, batch=recorder.batch, score_threshold=recorder.score_threshold
    )
    assert isinstance(found, Predictions)
    with found:
        results = _until_broken(found, failures)
        if isinstance(source, int):
            with CameraEnd() as end:
                _write(recorder, f"camera-{source}", end.until(results), CAMERA, out)
        else:
            _write(recorder, source, results, read_format(Path(source)), out)
    return failures


def _write(
    recorder: ModelRecorder, source: str, results: Iterator[Result], given: VideoFormat, out: Path
) -> None:
    """Writes results into two files of one name; none where there are no results."""
    first = next(results, None)
    if first is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    target, lines = _free_pair(out, Path(source).stem)
    with (
        whole_file(lines) as file,
        _whole_video(target, given.rate, source, first)
        if recorder.drawings
        else nullcontext() as video,
        open_bar(given.frames or None, "frames") as bar,
    ):
        for frame, result in enumerate(chain([first], results), start=1):
            if video is not None:
                video.add(result.draw(legend=False))
            file.write(json.dumps(_line(result, frame)) + "\n")
            bar.update()
    written = f"{target} and {lines}" if recorder.drawings else lines
    say(f"wrote {written}: {counted(bar.n, 'frame')}, seen by {recorder.engine}")


def _free_pair(out: Path, name: str) -> tuple[Path, Path]:
    """`NAME.mp4` and `NAME.jsonl`, of the first of `NAME-2` and so on where neither is there."""
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    pairs = ((out / f"{each}.mp4", out / f"{each}.jsonl") for each in names)
    return next(pair for pair in pairs if not any(path.exists() for path in pair))


def _until_broken(results: Iterator[Result], failures: list[str]) -> Iterator[Result]:
    try:
        yield from results
    except UserError as error:
        failures.append(str(error))


@contextmanager
def _whole_video(path: Path, rate: Fraction, source: str, first: Result) -> Iterator[VideoWriter]:
    """A video of frames like the first one, that takes its place when it is complete."""
    av, part = load_av(), part_of(path)
    try:
        with VideoWriter(part, rate, first.size) as video:
            yield video
        part.replace(path)
    except av.error.FFmpegError as error:
        height, width = first.size
        raise UserError(
            f"{source}: its frames of {width} x {height} pixels cannot be written as an MP4 video "
            f"({error.strerror})"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _line(result: Result, frame: int) -> dict[str, Any]:
    """What is seen in a frame: COCO records, or the shares of the classes."""
    if isinstance(result, SegmentationResult):
        return {"frame": frame, "shares": result.shares}
    return {"frame": frame, "records": result.to_coco(frame)}
