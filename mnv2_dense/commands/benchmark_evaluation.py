"""Times evaluation on this machine, beside other programs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mnv2_dense.benchmarking.evaluation.boxes import measure_boxes
from mnv2_dense.benchmarking.evaluation.masks import measure_masks
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands import benchmark


def benchmark_evaluation(
    *,
    task: Sequence[str],
    checkpoint: Path | None,
    overrides: Sequence[str],
    threads: int,
    repetitions: int,
    out: Path | None,
) -> None:
    """Prints times and their ratios beside the targets, and writes them to a file.

    Args:
        task: `detection`, `segmentation`, or both.
        checkpoint: Of a segmenter of 513x513, whose own answers are measured, too.
        overrides: Of its config.
        threads: Of PyTorch.
        repetitions: Of every call; fewer of peers that take minutes.
        out: JSON file; None writes nothing.

    Raises:
        UserError: The checkpoint or its data cannot be used.
    """
    sections = _measure(task, checkpoint, overrides, repetitions)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)


def _measure(
    tasks: Sequence[str], checkpoint: Path | None, overrides: Sequence[str], repetitions: int
) -> Iterator[Section]:
    if "segmentation" in tasks:
        yield from measure_masks(repetitions, checkpoint, overrides)
    if "detection" in tasks:
        yield from measure_boxes(repetitions)
