"""Draws the detections of a checkpoint on pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mnv2_dense.build import input_size, set_threads
from mnv2_dense.commands.checks import check_output
from mnv2_dense.commands.opening import open_checkpoint
from mnv2_dense.commands.session import quiet_lightning, say
from mnv2_dense.detection.draw import draw_detections
from mnv2_dense.detection.scoring import coco_results
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.detection.transforms import EvalTransform
from mnv2_dense.errors import UserError
from mnv2_dense.images import find_images, read_image
from mnv2_dense.structures import Category, Detections, ImageSize


def predict(
    sources: Sequence[Path], *, weights: Path, out: Path, score_threshold: float = 0.3
) -> None:
    """Writes every picture with its boxes, and all boxes as COCO results, into `out`.

    Pictures are shown and measured upright (their EXIF rotation applied). A picture that
    cannot be read is named at the end; the others are done.

    Raises:
        UserError: No picture was found, or some could not be read.
    """
    quiet_lightning()
    check_output(out)
    pictures = [path for source in sources for path in find_sources(source, out)]
    config, categories, task = open_checkpoint(weights)
    set_threads(config)
    task.eval()
    task.decoder.score_threshold = score_threshold
    transform = EvalTransform(input_size(config))
    out.mkdir(parents=True, exist_ok=True)
    ids, names = number_pictures(pictures), name_outputs(pictures, out)
    results: list[dict[str, Any]] = []
    failures: list[str] = []
    for path, image_id, name in zip(pictures, ids, names, strict=True):
        try:
            detections = predict_picture(task, transform, path, categories, out / name)
        except UserError as error:
            failures.append(str(error))
            continue
        found = coco_results([image_id], [detections], categories)
        results += [{**result, "file_name": path.name} for result in found]
        say(f"{path}: {len(detections.labels)} boxes -> {out / name}")
    (out / "detections.json").write_text(json.dumps(results, indent=1) + "\n")
    say(f"wrote {out / 'detections.json'}: {len(results)} boxes in {len(pictures)} pictures")
    if failures:
        raise UserError(
            f"{len(failures)} of {len(pictures)} pictures failed: " + "; ".join(failures)
        )


def predict_picture(
    task: DetectionTask,
    transform: EvalTransform,
    path: Path,
    categories: Sequence[Category],
    target: Path,
) -> Detections:
    """Detections of one picture, drawn on a copy of it at `target`."""
    image = read_image(path, upright=True)
    resized = transform(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), 0)[0]
    batch = torch.from_numpy(resized).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        (detections,) = task.decoder(task(batch), [ImageSize(*image.shape[:2])])
    drawn = draw_detections(image, detections, [category.name for category in categories])
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn).save(target)
    return detections


def find_sources(source: Path, out: Path) -> list[Path]:
    """The pictures of a source; those right in the output folder are earlier results.

    Raises:
        UserError: The source has no pictures, or is the output folder.
    """
    found = find_images(source)
    if source.is_file():
        return found
    kept = [path for path in found if path.resolve().parent != out.resolve()]
    if not kept:
        raise UserError(
            f"{source}: all its pictures are in the output folder; choose another --out"
        )
    return kept


def number_pictures(pictures: Sequence[Path]) -> list[int]:
    """Image ids for COCO results: the files' own numbers (as COCO names them), or 1, 2, 3..."""
    stems = [path.stem for path in pictures]
    if all(stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(pictures) + 1))


def name_outputs(pictures: Sequence[Path], out: Path) -> list[str]:
    """A PNG name in `out` per picture: unique where folders repeat one, and never a source's."""
    folder = out.resolve()
    taken = {path.name for path in map(Path.resolve, pictures) if path.parent == folder}
    names: list[str] = []
    for path in pictures:
        name, number = f"{path.stem}.png", 1
        while name in taken:
            number += 1
            name = f"{path.stem}-{number}.png"
        taken.add(name)
        names.append(name)
    return names
