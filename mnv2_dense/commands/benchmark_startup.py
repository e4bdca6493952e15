"""Times the commands that need no network."""

from pathlib import Path

from mnv2_dense.benchmarking.startup import measure_answers
from mnv2_dense.commands import benchmark
from mnv2_dense.config.shipped import shipped_configs


def benchmark_startup(*, threads: int, repetitions: int, out: Path | None) -> None:
    """Prints seconds beside their targets, and writes them to a file.

    Args:
        threads: Of PyTorch; none is used.
        repetitions: Processes of every kind.
        out: JSON file; None writes nothing.

    Raises:
        UserError: A command failed.
    """
    sections = measure_answers(shipped_configs()["ssdlite_coco.yaml"], repetitions)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)
