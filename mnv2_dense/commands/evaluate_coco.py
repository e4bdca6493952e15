"""Scores a results file against an annotation file, both of COCO; neither needs torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv2_dense.coco_evaluation.evaluation import Backend
from mnv2_dense.coco_evaluation.files import evaluate_files
from mnv2_dense.coco_evaluation.tables import format_classes, format_summary
from mnv2_dense.errors import UserError
from mnv2_dense.training.durable import replace_durably


def evaluate_coco(annotations: Path, results: Path, *, out: Path | None, backend: Backend) -> None:
    """Prints the table of classes and the twelve numbers.

    Args:
        annotations: COCO's instances file.
        results: JSON list of COCO results.
        out: JSON file for all numbers, replaced if there; None writes nothing.
        backend: What computes.

    Raises:
        UserError: A file cannot be read or is none of its kind, the two do not fit, or `out` is in
            no folder.
    """
    check_file(out)
    measured = evaluate_files(annotations, results, backend=backend)
    print(f"{format_classes(measured.per_class)}\n\n{format_summary(measured.summary)}")
    write_file(out, measured.as_dict())


def check_file(out: Path | None) -> None:
    """Refuses a name that no file can have, before the work is done.

    Raises:
        UserError: It is a folder, or in none.
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise UserError(f"--out {out}: give the name of a JSON file in a folder that exists")


def write_file(out: Path | None, numbers: Mapping[str, Any]) -> None:
    """Writes JSON for people where a file is asked for, whole or not at all, and says so."""
    if out is not None:
        text = json.dumps(numbers, indent=2) + "\n"
        replace_durably(out, lambda file: file.write(text.encode()))
        print(f"wrote {out}")
