"""Writes a COCO file with the first images, by id, that fit a rule.

    python select_images.py SOURCE.json OUT.json --count 32 --min-side 24 --input 320
    python select_images.py SOURCE.json OUT.json --count 32 --small-share 0.5

Images with crowd, or without any box, are never taken.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL_AREA = 32**2
"""COCO calls an object small below this mask area, in pixels of the original image."""

Rule = Callable[[dict[str, Any], list[dict[str, Any]]], bool]


def sides_reach(min_side: float, input_side: int) -> Rule:
    """Every box measures at least `min_side` on both sides in an image resized to the input."""

    def fits(image: dict[str, Any], annotations: list[dict[str, Any]]) -> bool:
        return all(
            annotation["bbox"][2] * input_side / image["width"] >= min_side
            and annotation["bbox"][3] * input_side / image["height"] >= min_side
            for annotation in annotations
        )

    return fits


def small_share_reaches(share: float) -> Rule:
    """At least this share of the image's objects is small."""

    def fits(_image: dict[str, Any], annotations: list[dict[str, Any]]) -> bool:
        small = sum(annotation["area"] < SMALL_AREA for annotation in annotations)
        return small >= share * len(annotations)

    return fits


def select(content: dict[str, Any], count: int, rule: Rule) -> dict[str, Any]:
    """The file cut down to the first `count` images by id that fit."""
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    chosen: list[dict[str, Any]] = []
    for image in sorted(content["images"], key=lambda image: image["id"]):
        annotations = by_image[image["id"]]
        crowd = any(annotation["iscrowd"] for annotation in annotations)
        if annotations and not crowd and rule(image, annotations) and len(chosen) < count:
            chosen.append(image)
    kept = [annotation for image in chosen for annotation in by_image[image["id"]]]
    return {**content, "images": chosen, "annotations": kept}


def main() -> None:
    """Reads the command line and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--min-side", type=float, help="least box side, in pixels at the input")
    parser.add_argument("--input", type=int, default=320, help="side of the network's input")
    parser.add_argument("--small-share", type=float, help="least share of small objects")
    options = parser.parse_args()
    if (options.min_side is None) == (options.small_share is None):
        parser.error("give either --min-side or --small-share")
    rule = (
        small_share_reaches(options.small_share)
        if options.min_side is None
        else sides_reach(options.min_side, options.input)
    )
    result = select(json.loads(options.source.read_text()), options.count, rule)
    options.out.write_text(json.dumps(result))
    print(f"{len(result['images'])} images, {len(result['annotations'])} boxes -> {options.out}")


if __name__ == "__main__":
    main()
