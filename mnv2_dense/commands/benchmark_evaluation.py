"""Times evaluation on this machine, beside other programs."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from mnv2_dense.benchmarking.evaluation.boxes import measure_boxes
from mnv2_dense.benchmarking.evaluation.masks import measure_masks
from mnv2_dense.commands import benchmark


def benchmark_evaluation(
    *,
    task: Sequence[str],
    checkpoint: Path | None,
    overrides: Sequence[str],
    threads: int,
    repetitions: int,
    slow_repetitions: int,
    out: Path | None,
) -> None:
    """Prints times and their ratios beside the targets, and writes them to a file.

    Args:
        task: `detection`, `segmentation`, or both.
        checkpoint: Of a segmenter of 513x513, whose own answers are measured, too.
        overrides: Of its config.
        threads: Of PyTorch.
        repetitions: Of every call.
        slow_repetitions: Of peers that take a minute and more, at most `repetitions`.
        out: JSON file; None writes nothing.

    Raises:
        UserError: The checkpoint or its data cannot be used.
    """
    boxes = partial(measure_boxes, repetitions, slow_repetitions=slow_repetitions)
    masks = partial(measure_masks, repetitions, checkpoint, overrides)
    measures = [("segmentation", masks), ("detection", boxes)]
    sections = chain.from_iterable(measure() for name, measure in measures if name in task)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)
