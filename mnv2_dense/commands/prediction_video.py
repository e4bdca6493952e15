"""Videos and cameras: annotated videos, and what is seen in every frame as JSON lines."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from mnv2_dense.commands.outputs import free_name
from mnv2_dense.commands.prediction_end import open_bar, say
from mnv2_dense.commands.prediction_kinds import counted
from mnv2_dense.commands.prediction_models import ModelRecorder
from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.commands.whole_file import part_of, whole_file
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.predictor import Predictions
from mnv2_dense.prediction.results import Result, SegmentationResult
from mnv2_dense.prediction.video import VideoFormat, VideoWriter, load_av, read_format

CAMERA = VideoFormat(Fraction(25), 0)
"""Of what is written of a camera, which does not say how often it looks."""


def predict_videos(recorder: ModelRecorder, sources: Sequence[str | int], out: Path) -> None:
    """Writes `NAME.mp4`, the annotated video, and `NAME.jsonl`, a line per frame, of each source.

    Names that are taken are passed over. A camera is looked through until Ctrl-C.

    Args:
        recorder: The network.
        sources: Videos by their paths, cameras by their numbers.
        out: Folder of the results.

    Raises:
        UserError: Videos could not be read to their end; what was read is written.
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
    given = CAMERA if isinstance(source, int) else read_format(Path(source))
    name = f"camera-{source}" if isinstance(source, int) else Path(source).stem
    failures: list[str] = []
    found = recorder.model.predict(
        source, batch=recorder.batch, score_threshold=recorder.score_threshold
    )
    assert isinstance(found, Predictions)
    with found:
        results = _until_ended(found, failures, by_hand=isinstance(source, int))
        first = next(results, None)
        if first is not None:
            out.mkdir(parents=True, exist_ok=True)
            target = free_name(out / f"{name}.mp4")
            lines = free_name(out / f"{name}.jsonl")
            with (
                whole_file(lines) as file,
                _whole_video(target, given.rate, first) as video,
                open_bar(given.frames or None, "frames") as bar,
            ):
                for frame, result in enumerate(chain([first], results), start=1):
                    video.add(result.draw(legend=False))
                    file.write(json.dumps(_line(result, frame)) + "\n")
                    bar.update()
            say(f"wrote {target} and {lines}: {counted(bar.n, 'frame')}, seen by {recorder.engine}")
    return failures


def _until_ended(
    results: Iterator[Result], failures: list[str], *, by_hand: bool
) -> Iterator[Result]:
    """Results up to where a video is broken or, `by_hand`, Ctrl-C ends a camera."""
    try:
        yield from results
    except UserError as error:
        failures.append(str(error))
    except KeyboardInterrupt:
        if not by_hand:
            raise


@contextmanager
def _whole_video(path: Path, rate: Fraction, first: Result) -> Iterator[VideoWriter]:
    """A video of frames like the first one, that takes its place when it is complete."""
    part = part_of(path)
    try:
        with VideoWriter(part, rate, first.size) as video:
            yield video
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _line(result: Result, frame: int) -> dict[str, Any]:
    """What is seen in a frame: COCO records, or the shares of the classes."""
    if isinstance(result, SegmentationResult):
        return {"frame": frame, "shares": result.shares}
    return {"frame": frame, "records": result.to_coco(frame)}
