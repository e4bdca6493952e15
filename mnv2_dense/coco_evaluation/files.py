"""COCO's two files: annotations and results."""

import gc
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mnv2_dense.coco_evaluation.evaluation import COCO, Backend, Evaluation, evaluate
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.records import (
    GroundTruth,
    Results,
    check_finite,
    results_of,
)
from mnv2_dense.errors import UserError

PIECE = 1 << 22
"""Bytes of results that are decoded together: decoded they take some seven times the space."""
ROWS = 1 << 14
"""Results that are written together."""


def evaluate_files(
    annotations: str | Path,
    results: str | Path,
    *,
    image_ids: Collection[int] | None = None,
    options: Options = COCO,
    backend: Backend = "mnv2_dense",
) -> Evaluation:
    """Scores a results file; see `evaluate`.

    Args:
        annotations: COCO's instances file.
        results: JSON list of COCO results.
        image_ids: See `evaluate`.
        options: See `evaluate`.
        backend: See `evaluate`.

    Raises:
        UserError: A file cannot be read or is none of its kind; and see `evaluate`.
    """
    truth, found = read_ground_truth(Path(annotations)), read_results(Path(results))
    return evaluate(truth, found, image_ids=image_ids, options=options, backend=backend)


def read_ground_truth(path: Path) -> GroundTruth:
    """The columns of a COCO instances file.

    Raises:
        UserError: It cannot be read or is no COCO instances file.
    """
    content = _decode(_read(path, "annotation"), path, "annotation")
    return ground_truth_of(content, str(path))


def read_results(path: Path) -> Results:
    """The columns of a COCO results file, decoded piece by piece.

    Raises:
        UserError: It cannot be read or is no list of COCO results.
    """
    try:
        with path.open("rb") as file, _without_collector():
            parts = [results_of(json.loads(piece)) for piece in _pieces(file)]
    except (OSError, ValueError, RecursionError, TypeError, UserError):
        # The whole is read again: it says best what is wrong. Perhaps only the cuts are: they may
        # lie inside of entries that hold objects.
        parts = [_whole_results(path)]
    return Results(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def write_results(results: Results, path: Path) -> None:
    """Writes COCO's results file; nothing is rounded.

    Raises:
        UserError: A box or score is not finite.
    """
    check_finite(results)
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for start in range(0, len(results.scores), ROWS):
            rows = zip(*(column[start : start + ROWS].tolist() for column in results), strict=True)
            file.write(", " if start else "")
            # A JSON encoder needs dicts, and with them twice the time.
            file.write(
                ", ".join(
                    f'{{"image_id": {image}, "category_id": {label}, "bbox": {box}, '
                    f'"score": {score}}}'
                    for image, label, box, score in rows
                )
            )
        file.write("]\n")


def _whole_results(path: Path) -> Results:
    entries = _decode(_read(path, "results"), path, "results")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"the results file {path} is no JSON list of COCO results")
    try:
        return results_of(entries)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """A JSON list in lists of some `PIECE` bytes, cut between objects."""
    rest, step, pieces = b"", PIECE, 0
    while block := file.read(step):
        rest += block
        cut = rest.rfind(b"},", max(len(rest) - len(block) - 1, 0))
        # Twice as much where there is no place to cut, lest all be copied for every piece.
        step = PIECE if cut >= 0 else len(rest)
        if cut >= 0:
            pieces += 1
            yield rest[: cut + 1] + b"]"
            rest = b"[" + rest[cut + 2 :]
    if pieces and not rest.strip(b"[] \t\r\n"):
        raise ValueError("nothing behind a comma")
    yield rest


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot read the {kind} file {path}: {reason}") from error


def _decode(data: bytes, path: Path, kind: str) -> Any:
    try:
        with _without_collector():
            return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the {kind} file {path} is no JSON: {error}") from error


@contextmanager
def _without_collector() -> Iterator[None]:
    """It would look at every new object again and again, for none is garbage."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
