"""Times training on this machine, beside other programs."""

from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.benchmarking.training.sections import Wanted, measure_training
from mnv2_dense.commands import benchmark
from mnv2_dense.errors import UserError
from mnv2_dense.ops.allocation import keep_freed_memory


def benchmark_training(
    *,
    task: Sequence[str],
    threads: int,
    repetitions: int,
    batch_size: int | None,
    compiled: bool,
    out: Path | None,
) -> None:
    """Prints times and their ratios beside the targets, and writes them to a file.

    Args:
        task: `detection`, `segmentation`, or both.
        threads: Of PyTorch.
        repetitions: Of every call.
        batch_size: Pictures of a step; None takes those that fit a small machine.
        compiled: Whether the compiled network is timed, too.
        out: JSON file; None writes nothing.

    Raises:
        UserError: An argument is not allowed.
    """
    if batch_size is not None and batch_size < 2:
        raise UserError(f"--batch-size {batch_size}: batch norm needs 2 pictures at least")
    keep_freed_memory()  # As a run does, see builders/trainer.py.
    wanted = Wanted(task, repetitions, batch_size, compiled)
    benchmark.run(measure_training(wanted), threads=threads, repetitions=repetitions, out=out)
