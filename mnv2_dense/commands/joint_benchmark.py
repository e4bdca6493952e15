"""Times a joint network on this machine, beside two networks one after the other."""

from pathlib import Path

from mnv2_dense.benchmarking.joint import Compared, measure_joint
from mnv2_dense.commands import benchmark
from mnv2_dense.images import read_image


def benchmark_joint(
    *,
    joint: Path,
    detector: Path,
    segmenter: Path,
    picture: Path,
    threads: int,
    repetitions: int,
    out: Path | None,
) -> None:
    """Prints times and their ratios, and writes them to a file.

    Args:
        joint: Checkpoint of a joint network.
        detector: Checkpoint of a detector.
        segmenter: Checkpoint of a segmenter.
        picture: That all are shown.
        threads: Of PyTorch.
        repetitions: Of every call.
        out: JSON file; None writes nothing.

    Raises:
        UserError: The picture or a checkpoint cannot be read, or is of another task.
    """
    shown = read_image(picture, upright=True)
    sections = measure_joint(Compared(joint, detector, segmenter), shown, threads, repetitions)
    benchmark.run(sections, threads=threads, repetitions=repetitions, out=out)
