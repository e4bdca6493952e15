"""Shows what a network sees in pictures: boxes, label maps or names."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mnv2_dense.commands.outputs import SETTINGS, Outputs, check_output
from mnv2_dense.commands.prediction_job import WHOLE, Share, describe_weights, run_job
from mnv2_dense.commands.prediction_kinds import TOP, Predictor
from mnv2_dense.commands.prediction_models import ModelPredictor, check_options, show_model
from mnv2_dense.commands.prediction_video import predict_videos
from mnv2_dense.errors import UserError
from mnv2_dense.prediction.loading import is_exported, load
from mnv2_dense.prediction.predictor import SCORE_THRESHOLD
from mnv2_dense.prediction.sources import is_pattern, match_pictures
from mnv2_dense.prediction.video import is_video


def predict(
    sources: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    weights: str,
    out: Path,
    score_threshold: float | None = None,
    top: int | None = None,
    engine: str | None = None,
    threads: int | None = None,
    batch: int = 1,
    processes: int = 1,
    share: Share = WHOLE,
    json_lines: bool = False,
) -> None:
    """Writes what is seen in every picture into `out`, as pictures and as one JSON file.

    A detector draws boxes and writes COCO results; a segmenter writes label maps, overlays and
    the shares of the classes; a classifier draws nothing and writes the likeliest classes.
    Pictures are shown and measured upright (their EXIF rotation applied). A picture that cannot
    be read is named at the end; the others are done. What an earlier call with the same settings
    has done is not done again. Videos and cameras come after the pictures, each into a video and
    a file of JSON lines.

    Args:
        sources: Pictures, folders of pictures, patterns, videos, and numbers of cameras.
        overrides: Changes to the config, of the form `key.path=value`; not of an exported model.
        weights: Path of a checkpoint of ours, of an exported model or of a classifier's weights,
            or `imagenet`.
        out: Folder of the results.
        score_threshold: Of a detector: lowest score of a box, 0 to 1.
        top: Of a classifier: how many classes are named.
        engine: What runs the network; the best one that is installed by default.
        threads: Of all processes together; by default `OMP_NUM_THREADS`, else one per core.
        batch: Pictures that the network is shown at once.
        processes: How many share the work on this machine.
        share: The part of the pictures that this call does.
        json_lines: Whether the records are also written picture by picture, a line each.

    Raises:
        UserError: No picture was found, some could not be read, or `out` holds results of other
            weights or settings.
    """
    check_output(out)
    share_of_threads = None if threads is None else max(1, threads // processes)
    opener = partial(
        open_predictor, weights, overrides, score_threshold, top, engine, share_of_threads, batch
    )
    predictor = opener()
    pictures, videos = sort_sources(sources)
    if videos and not isinstance(predictor, ModelPredictor):
        raise UserError(
            f"{videos[0]}: videos are for detectors and for segmenters at a single scale; "
            f"{weights} takes pictures"
        )
    settings = {
        "weights": describe_weights(weights),
        # What a network was trained with, and on how many threads, does not change what it sees.
        "changes": [text for text in overrides if not text.startswith("training.")],
        "score_threshold": SCORE_THRESHOLD if score_threshold is None else score_threshold,
        "top": TOP if top is None else top,
    }
    if pictures:
        outputs = Outputs(out, predictor.result_folders, predictor.records_name)
        lines = outputs.records.with_suffix(".jsonl")
        if json_lines and lines.exists() and not (outputs.job / SETTINGS).is_file():
            raise UserError(f"--json-lines: {lines} is there already; choose another --out")
        job = partial(run_job, predictor, opener, pictures, outputs, settings, processes, share)
        job(json_lines=json_lines)
    if isinstance(predictor, ModelPredictor) and share.number == 1:
        predict_videos(predictor, videos, out)


def sort_sources(sources: Sequence[str]) -> tuple[list[Path], list[str | int]]:
    """Pictures and folders; and videos by their paths and cameras by their numbers.

    Raises:
        UserError: A pattern matches no picture.
    """
    pictures: list[Path] = []
    videos: list[str | int] = []
    for source in sources:
        path = Path(source)
        if is_video(path):
            videos.append(source)
        elif source.isdecimal() and not path.exists():
            videos.append(int(source))
        elif is_pattern(source):
            pictures += match_pictures(source)
        else:
            pictures.append(path)
    return pictures, videos


def open_predictor(
    weights: str,
    overrides: Sequence[str],
    score_threshold: float | None,
    top: int | None,
    engine: str | None = None,
    threads: int | None = None,
    batch: int = 1,
) -> Predictor:
    """The network that the weights are of; see `predict`.

    Raises:
        UserError: The weights are of no network known here, or it has no such option.
    """
    if not is_exported(Path(weights)):
        # What trains and reads checkpoints takes seconds to import.
        from mnv2_dense.commands.prediction_checkpoints import open_checkpoint_predictor

        return open_checkpoint_predictor(
            weights, overrides, score_threshold, top, engine, threads, batch
        )
    if overrides:
        raise UserError(
            f"{overrides[0]}: an exported model cannot be changed; export it again, with the change"
        )
    model = load(weights, engine, threads=threads)
    check_options(model.manifest.task, weights, score_threshold, top)
    return show_model(model, SCORE_THRESHOLD if score_threshold is None else score_threshold, batch)
