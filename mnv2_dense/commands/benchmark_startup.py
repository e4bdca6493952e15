"""Times the commands that need no network."""

from pathlib import Path

from mnv2_dense.benchmarking.startup import measure_answers
from mnv2_dense.commands import benchmark


def benchmark_startup(tools: Path, *, threads: int, repetitions: int, out: Path | None) -> None:
    """Prints seconds beside their targets, and writes them to a file.

    Args:
        tools: Folder of the commands; the configs are beside it.
        threads: Of PyTorch; none is used.
        repetitions: Processes of every kind.
        out: JSON file; None writes nothing.

    Raises:
        UserError: A command failed.
    """
    config = tools.parent / "configs" / "ssdlite_coco.yaml"
    sections = measure_answers(tools, config, repetitions)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)
