"""Says where a results file loses its AP, by an annotation file; neither needs torch."""

from pathlib import Path

from mnv2_dense.commands.evaluate_coco import check_file, write_file
from mnv2_dense.error_analysis.analysis import analyze_errors as analyze
from mnv2_dense.error_analysis.tables import format_tables


def analyze_errors(annotations: Path, results: Path, *, out: Path | None) -> None:
    """Prints what errors of each kind cost, and the classes that are concerned most.

    Args:
        annotations: COCO's instances file.
        results: JSON list of COCO results.
        out: JSON file for all numbers, replaced if there; None writes nothing.

    Raises:
        UserError: A file cannot be read or is none of its kind, the two do not fit, or `out` is in
            no folder.
    """
    check_file(out)
    analysis = analyze(annotations, results)
    print(format_tables(analysis))
    write_file(out, analysis.as_dict())
