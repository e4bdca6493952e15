"""VOC's masks as a set of coloured masks: `make_color_masks.py VOC2012 OUT`.

Pictures and masks lie in one folder each, a mask is an RGB picture in VOC's colours, and colors.csv
names them.
"""

import csv
import shutil
import sys
from pathlib import Path

from PIL import Image

from mnv2_dense.drawing import class_palette

NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor", "void"),
)


def main(root: Path, out: Path) -> None:
    """Writes OUT/images, OUT/masks and OUT/colors.csv."""
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    for path in sorted((root / "SegmentationClass").glob("*.png")):
        with Image.open(path) as mask:
            mask.convert("RGB").save(out / "masks" / path.name)
        shutil.copy(root / "JPEGImages" / f"{path.stem}.jpg", out / "images")
    with (out / "colors.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "r", "g", "b"])
        palette = class_palette()
        colors = [*palette[: len(NAMES) - 1], palette[255]]
        for name, color in zip(NAMES, colors, strict=True):
            writer.writerow([name, *color])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
