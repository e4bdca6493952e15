"""Writes the first pictures of a VOC list whose classes are all large enough to be measured.

    python select_list.py VOC2012/ImageSets/Segmentation/train.txt VOC2012/SegmentationClass OUT.txt

A picture is taken if it has an object, and every class in it (background too) covers at least a
share of its labelled pixels: in masks recovered from a lossy picture a class can be a few stray
pixels, whose IoU would say nothing.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

VOID = 255


def is_clean(mask: Path, least_share: float) -> bool:
    """Whether a mask has two classes or more, each of at least the given share."""
    values = np.asarray(Image.open(mask))
    counts = np.bincount(values[values != VOID])
    present = counts[counts > 0]
    return len(present) > 1 and bool((present >= least_share * present.sum()).all())


def main() -> None:
    """Reads the command line and writes the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--least-share", type=float, default=0.02)
    options = parser.parse_args()
    keys = options.list.read_text().split()
    chosen = [key for key in keys if is_clean(options.masks / f"{key}.png", options.least_share)]
    chosen = chosen[: options.count]
    options.out.write_text("\n".join(chosen) + "\n")
    print(f"{len(chosen)} of {len(keys)} pictures -> {options.out}")


if __name__ == "__main__":
    main()
