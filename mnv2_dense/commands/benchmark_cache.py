"""Times training samples from a resized copy of a data set, beside its originals."""

from collections.abc import Sequence
from pathlib import Path

from mnv2_dense.benchmarking.cache import measure_cache
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.commands import benchmark
from mnv2_dense.config.loader import load_config
from mnv2_dense.errors import UserError


def benchmark_cache(
    *,
    config: Path,
    overrides: Sequence[str],
    shorter_side: Sequence[int],
    threads: int,
    repetitions: int,
    out: Path | None,
) -> None:
    """Prints times and their ratios beside the target, and writes them to a file.

    Args:
        config: A YAML file, whose training pictures are copied to a folder of its own.
        overrides: Changes to it.
        shorter_side: Sizes of further copies, beside that of the config's own.
        threads: Of PyTorch; samples are loaded by one.
        repetitions: Of each call, some dozens of samples.
        out: JSON file; None writes nothing.

    Raises:
        UserError: A size below 1, the config is not allowed, or its data cannot be read.
    """
    if min(shorter_side, default=1) < 1:
        raise UserError(f"--shorter-side {min(shorter_side)}: give 1 or more pixels")
    loaded = load_config(config, overrides)
    sizings = [Sizing("full"), *(Sizing("shorter", side) for side in shorter_side)]
    sections = measure_cache([loaded], sizings, repetitions)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)
