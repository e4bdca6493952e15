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
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.images import find_images

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
    folders = [out / name for name in column.result_folders]
    pictures = [path for source in sources for path in find_sources(source, folders)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    _predict_all(column, pictures, name_outputs(pictures, folders), out)


def _predict_all(column: Column, pictures: Sequence[Path], names: Sequence[str], out: Path) -> None:
    records: list[dict[str, Any]] = []
    failures: list[str] = []
    for path, number, name in zip(pictures, number_pictures(pictures), names, strict=True):
        try:
            prediction = column.predict(Source(path, number, name), out)
        except UserError as error:
            failures.append(str(error))
            continue
        records += prediction.records
        say(f"{path}: {prediction.words}")
    target = out / column.records_name
    target.write_text(json.dumps(records, indent=1) + "\n")
    say(f"wrote {target}: {len(records)} records of {len(pictures)} pictures")
    if failures:
        raise UserError(
            f"{len(failures)} of {len(pictures)} pictures failed: " + "; ".join(failures)
        )


def find_sources(source: Path, folders: Sequence[Path]) -> list[Path]:
    """The pictures of a source; those right in the output folders are earlier results.

    Raises:
        UserError: The source has no pictures, or only earlier results.
    """
    found = find_images(source)
    if source.is_file():
        return found
    places = {folder.resolve() for folder in folders}
    kept = [path for path in found if path.resolve().parent not in places]
    if not kept:
        raise UserError(
            f"{source}: all its pictures are in the output folder; choose another --out"
        )
    return kept


def number_pictures(pictures: Sequence[Path]) -> list[int]:
    """Image ids for COCO results: the files' own numbers (as COCO names them), or 1, 2, 3..."""
    stems = [path.stem for path in pictures]
    if all(stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(pictures) + 1))


def name_outputs(pictures: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """A name per picture, for PNG files in `folders`: unique, and none that of a source."""
    places = {folder.resolve() for folder in folders}
    taken = {path.name for path in map(Path.resolve, pictures) if path.parent in places}
    names: list[str] = []
    for path in pictures:
        name, number = path.stem, 1
        while f"{name}.png" in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(f"{name}.png")
        names.append(name)
    return names
