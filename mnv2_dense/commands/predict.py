"""Shows what a checkpoint sees in pictures: boxes, or label maps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnv2_dense.builders.trainer import set_threads
from mnv2_dense.commands.checks import check_output
from mnv2_dense.commands.column import Column, Source
from mnv2_dense.commands.columns import column_of
from mnv2_dense.commands.opening import open_checkpoint
from mnv2_dense.commands.outputs import Outputs
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError

SCORE_THRESHOLD = 0.3
"""Lowest score of a box that is shown where none is asked for."""


def predict(
    sources: Sequence[Path],
    overrides: Sequence[str] = (),
    *,
    weights: Path,
    out: Path,
    score_threshold: float | None = None,
) -> None:
    """Writes what is seen in every picture into `out`, as pictures and as one JSON file.

    A detector draws boxes and writes COCO results; a segmenter writes label maps, overlays and
    the shares of the classes. Pictures are shown and measured upright (their EXIF rotation
    applied). A picture that cannot be read is named at the end; the others are done.

    Raises:
        UserError: No picture was found, or some could not be read.
    """
    quiet_lightning()
    check_output(out)
    config, categories, task = open_checkpoint(weights, overrides)
    set_threads(config)
    task.eval()
    if isinstance(task, DetectionTask):
        task.decoder.score_threshold = (
            SCORE_THRESHOLD if score_threshold is None else score_threshold
        )
    elif score_threshold is not None:
        raise UserError(f"--score-threshold is for detectors; {weights} is a segmenter")
    column = column_of(config, task, categories)
    outputs = Outputs(out, column.result_folders, column.records_name)
    pictures = [path for source in sources for path in outputs.find_sources(source)]
    names = outputs.name_pictures(pictures)
    outputs.claim(names)
    _predict_all(column, pictures, names, outputs)


def _predict_all(
    column: Column, pictures: Sequence[Path], names: Sequence[str], outputs: Outputs
) -> None:
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    for path, number, name in zip(pictures, number_pictures(pictures), names, strict=True):
        try:
            prediction = column.predict(Source(path, number, name), outputs.out)
        except (UserError, OSError) as error:  # OSError: the result cannot be written
            failures.append(str(error))
            continue
        records += prediction.records
        say(f"{path}: {prediction.words}")
    outputs.records.write_text(json.dumps(records, indent=1) + "\n")
    say(f"wrote {outputs.records}: {len(records)} records of {len(pictures)} pictures")
    if failures:
        raise UserError(
            f"{len(failures)} of {len(pictures)} pictures failed: " + "; ".join(failures)
        )


def number_pictures(pictures: Sequence[Path]) -> list[int]:
    """Image ids for COCO results: the files' own numbers (as COCO names them), or 1, 2, 3..."""
    stems = [path.stem for path in pictures]
    if all(stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(pictures) + 1))
