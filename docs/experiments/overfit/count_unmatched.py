"""Counts the boxes of a COCO file that end up with no anchor of their own at 320x320.

python docs/experiments/overfit/count_unmatched.py IMAGE_FOLDER FILE.json ...
"""

import sys
from pathlib import Path

import torch

from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.matching import UNMATCHED, match_anchors
from mnv2_dense.detection.targets import build_index
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.ops.boxes import center_to_corner, size_scale
from mnv2_dense.structures import ImageSize

INPUT = ImageSize(320, 320)
LEVELS = [ImageSize(cells, cells) for cells in (20, 10, 5, 3, 2, 1)]


def main() -> None:
    """Prints boxes and unmatched boxes of each file."""
    anchors = center_to_corner(AnchorGenerator()(LEVELS, INPUT, torch.device("cpu")))
    for file in sys.argv[2:]:
        index = build_index(read_coco(Path(file), Path(sys.argv[1])))
        boxes = unmatched = 0
        for i in range(len(index)):
            targets = index.targets(i).boxes
            shares = targets / size_scale(index.size(i), targets)
            one = torch.zeros(len(targets), dtype=torch.int64)
            matches = match_anchors(shares, one, 1, anchors)
            boxes += len(targets)
            unmatched += len(targets) - len(matches[matches != UNMATCHED].unique())
        print(f"{file}: {boxes} boxes, {unmatched} without an anchor of their own")


if __name__ == "__main__":
    main()
