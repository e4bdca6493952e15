"""Time and resident memory of reading an annotation file, and of the detector's index of it.

measure.py FOLDER [boxes|whole]
"""

import resource
import sys
import time
from pathlib import Path

from mnv2_dense.detection.targets import build_index
from mnv2_dense.formats.coco import read_coco


def resident() -> float:
    """Of this process now, MB."""
    status = Path("/proc/self/status").read_text().split("VmRSS:")[1]
    return int(status.split()[0]) / 1024


def peak() -> float:
    """Highest so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder: Path, kept: str = "boxes") -> None:
    """All memory is over that of the process with PyTorch imported."""
    base, start = resident(), time.process_time()
    boxes = read_coco(folder / "instances.json", folder / "images", whole=kept == "whole")
    read, highest = time.process_time() - start, peak() - base
    remaining = (resident() - base) * 2**20 / len(boxes.annotations)
    print(
        f"{folder.name} {kept}: base {base:.0f} MB, {len(boxes.annotations):,} annotations", end=""
    )
    print(
        f", {read:.1f} s CPU, peak +{highest:.0f} MB, {remaining:.0f} bytes each remain", flush=True
    )
    index = build_index(boxes)
    indexed = time.process_time() - start - read
    print(f"  index of {len(index.boxes):,}: {indexed:.1f} s CPU, peak +{peak() - base:.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
