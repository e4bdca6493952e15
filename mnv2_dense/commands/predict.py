"""Shows what a network sees in pictures: boxes, label maps or names."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mnv2_dense.commands.outputs import SETTINGS, Outputs, check_output
from mnv2_dense.commands.prediction_end import SomeFailedError
from mnv2_dense.commands.prediction_job import WHOLE, Share, describe_weights, run_job
from mnv2_dense.commands.prediction_kinds import Opened, Recorder
from mnv2_dense.commands.prediction_models import ModelRecorder, open_model
from mnv2_dense.commands.prediction_options import Options
from mnv2_dense.commands.prediction_video import predict_videos
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.loading import Opening
from mnv2_dense.prediction.loading import is_exported
from mnv2_dense.prediction.sources import match_videos
from mnv2_dense.prediction.video import is_video


def predict(
    sources: Sequence[str],
    options: Options,
    *,
    out: Path,
    processes: int = 1,
    share: Share = WHOLE,
    json_lines: bool = False,
) -> None:
    """Writes what is seen in every picture into `out`, as pictures and as one JSON file.

    A detector draws boxes and writes COCO results; a segmenter writes label maps, overlays and
    the shares of the classes; a classifier draws nothing and writes the likeliest classes.
    Pictures are shown and measured upright (their EXIF rotation applied). What cannot be read or
    is not there is named at the end; the rest is done. What an earlier call with the same settings
    has done is not done again. Videos and cameras come after the pictures, each into a video and
    a file of JSON lines. Without drawings, only what is for programs is written: records, JSON
    lines and label maps.

    Args:
        sources: Pictures, folders of pictures, patterns, videos, and numbers of cameras.
        options: What is asked of the network; the threads are those of all processes together.
        out: Folder of the results.
        processes: How many share the work on this machine.
        share: The part of the pictures that this call does.
        json_lines: Whether the records are also written picture by picture, a line each.

    Raises:
        UserError: Nothing was found, something could not be read, or `out` holds results of other
            weights or settings.
    """
    check_output(out)
    threads = None if options.threads is None else max(1, options.threads // processes)
    opened = open_network(replace(options, threads=threads))
    pictures, videos = sort_sources(sources)
    if videos and not isinstance(opened.recorder, ModelRecorder):
        raise UserError(
            f"{videos[0]}: videos are for detectors and for segmenters at a single scale, not for "
            f"joint networks; {options.weights} takes pictures"
        )
    failures: list[str] = []
    if pictures:
        outputs = outputs_of(opened.recorder, out, json_lines=json_lines)
        settings = settings_of(options)
        job = partial(run_job, opened, pictures, outputs, settings, processes, share)
        failures += _try(partial(job, json_lines=json_lines), SomeFailedError)
    if isinstance(opened.recorder, ModelRecorder) and share.number == 1:
        failures += _try(partial(predict_videos, opened.recorder, videos, out), UserError)
    if failures:
        raise SomeFailedError("; ".join(failures))


def _try(work: Callable[[], None], kind: type[UserError]) -> list[str]:
    """What failed, and is no reason to end before the rest is done."""
    try:
        work()
    except kind as error:
        return [str(error)]
    return []


def outputs_of(recorder: Recorder, out: Path, *, json_lines: bool = False) -> Outputs:
    """The results in an output folder.

    Raises:
        UserError: A file of the user's has the name of the records or of their lines.
    """
    outputs = Outputs(out, recorder.result_folders, recorder.records_name)
    lines = outputs.records.with_suffix(".jsonl")
    if json_lines and lines.exists() and not (outputs.job / SETTINGS).is_file():
        raise UserError(f"--json-lines: {lines} is there already; choose another --out")
    return outputs


def settings_of(options: Options) -> dict[str, Any]:
    """What results depend on; engine, device, threads and batch change their rounding at most."""
    return {
        "weights": describe_weights(options.weights),
        # What a network was trained with, and on how many threads, does not change what it sees.
        "changes": [text for text in options.overrides if not text.startswith("training.")],
        "score_threshold": options.lowest_score,
        "top": options.classes,
        "drawings": options.drawings,
    }


def sort_sources(sources: Sequence[str]) -> tuple[list[str], list[str | int]]:
    """Pictures, folders and patterns; and videos by their paths and cameras by their numbers."""
    pictures: list[str] = []
    videos: list[str | int] = []
    for source in sources:
        path = Path(source)
        if is_video(path):
            videos += match_videos(source)
        elif source.isdecimal() and not path.exists():
            videos.append(int(source))
        else:
            pictures.append(source)
    return pictures, videos


def open_network(options: Options) -> Opened:
    """The network that the weights are of.

    Raises:
        UserError: The weights are of no network known here, or it has no such option.
    """
    path = Path(options.weights)
    if not is_exported(path):
        # What trains and reads checkpoints takes seconds to import.
        from mnv2_dense.commands.prediction_checkpoints import open_weights

        return open_weights(options)
    if options.overrides:
        raise UserError(
            f"{options.overrides[0]}: an exported model cannot be changed; export it again, with "
            "the change"
        )
    opener = partial(open_model, Opening(path, options.engine, options.device), options)
    return Opened(opener(), opener)
