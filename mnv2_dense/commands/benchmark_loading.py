"""Times the loading of training samples on this machine, beside torchvision."""

from pathlib import Path

from mnv2_dense.benchmarking.loading.sections import measure_loading
from mnv2_dense.commands import benchmark


def benchmark_loading(
    *,
    coco: Path | None,
    voc: Path | None,
    pictures: int,
    threads: int,
    repetitions: int,
    out: Path | None,
) -> None:
    """Prints times and their ratios beside the targets, and writes them to a file.

    Args:
        coco: Folder in COCO's layout; None takes drawn scenes.
        voc: Folder in VOC's layout; None takes drawn scenes.
        pictures: Of each set, the first ones.
        threads: Of the colours of a batch; samples are loaded by one.
        repetitions: Passes over the pictures.
        out: JSON file; None writes nothing.

    Raises:
        UserError: The data cannot be read.
    """
    sections = measure_loading(repetitions, coco=coco, voc=voc, pictures=pictures)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)
