"""Writes the built-in data set: the official layout of COCO 2017, and label maps beside it."""

import json
import shutil
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mnv2_dense.errors import UserError
from mnv2_dense.shapes.difficulty import Difficulty
from mnv2_dense.shapes.label_maps import FOLDER as LABEL_MAPS
from mnv2_dense.shapes.label_maps import write_label_map
from mnv2_dense.shapes.outlines import SHAPE_CLASSES
from mnv2_dense.shapes.scene import Scene, draw_scene

SPLITS = ("train2017", "val2017")
TRAIN_IMAGES = 3600
VAL_IMAGES = 250
SIZE = 96
SMALLEST_SIZE = 64
JPEG_QUALITY = 92
LICENSE_ID = 1


def generate(
    root: Path,
    *,
    train_images: int = TRAIN_IMAGES,
    val_images: int = VAL_IMAGES,
    size: int = SIZE,
    seed: int = 0,
    difficulty: Difficulty | None = None,
) -> None:
    """Draws the data set into a new folder: pictures, instances files as COCO's, label maps.

    Pictures are `train2017/000000000001.jpg` ...; the label map of that one, a PNG of indices
    into `LABEL_NAMES` with 255 for crowds, is `label_maps/train2017/000000000001.png`.
    The same arguments give the same files, byte for byte, with the same library versions.
    `root` appears only when all is written. The scenes of the two splits come from separate
    seed streams, and a scene does not depend on how many others are drawn.

    Args:
        root: Folder to make; it must not exist.
        train_images: Pictures in `train2017`, at least 1.
        val_images: Pictures in `val2017`, at least 1.
        size: Side of the square pictures, in pixels, at least 64.
        seed: At least 0.
        difficulty: Ranges the scenes are drawn from; None takes the default ones.

    Raises:
        UserError: `root` exists or cannot be written, or a number is out of range.
    """
    rules = difficulty or Difficulty()
    _check_range("train_images", train_images, 1)
    _check_range("val_images", val_images, 1)
    _check_range("size", size, SMALLEST_SIZE)
    _check_range("seed", seed, 0)
    parameters = {
        "train_images": train_images,
        "val_images": val_images,
        "size": size,
        "seed": seed,
        "difficulty": rules._asdict(),
    }
    with _new_folder(root) as folder:
        for split, count in enumerate((train_images, val_images)):
            # Ids go on from split to split, so that one can never pass for the other.
            first_id = 1 + split * train_images
            scenes = (draw_scene((seed, split, index), size, rules) for index in range(count))
            _write_split(folder, SPLITS[split], first_id, scenes, parameters)


def _check_range(name: str, value: int, least: int) -> None:
    if value < least:
        raise UserError(f"shapes: {name} is {value}; it must be at least {least}")


@contextmanager
def _new_folder(root: Path) -> Generator[Path, None, None]:
    """A folder to fill beside `root`, renamed to it at the end or removed on any failure."""
    if root.exists() or root.is_symlink():
        raise UserError(f"{root} exists already; remove it or name another folder")
    partial = root.with_name(f".{root.name}-{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(root)
    except OSError as error:
        raise UserError(f"cannot write the data set {root}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_split(
    folder: Path, split: str, first_id: int, scenes: Iterator[Scene], parameters: dict[str, Any]
) -> None:
    """Writes pictures and label maps of a split as they are drawn, then its instances file."""
    (folder / split).mkdir()
    (folder / LABEL_MAPS / split).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes, start=first_id):
        name = f"{image_id:012d}.jpg"
        _write_picture(folder / split / name, scene)
        write_label_map(folder / LABEL_MAPS / split / f"{image_id:012d}.png", scene)
        height, width = scene.instances.shape
        images.append(
            {
                "id": image_id,
                "file_name": name,
                "height": height,
                "width": width,
                "license": LICENSE_ID,
            }
        )
        for fields in scene_annotations(scene):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **fields})
    document = _header(parameters) | {"images": images, "annotations": annotations}
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))


def _write_picture(path: Path, scene: Scene) -> None:
    bgr = cv2.cvtColor(scene.picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(encoded.tobytes())


def _header(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parts of an instances file that do not depend on the scenes."""
    return {
        "info": {
            "description": "mnv2_dense shapes: textured shapes on cluttered backgrounds",
            "version": "1",
            "parameters": parameters,
        },
        "licenses": [
            {
                "id": LICENSE_ID,
                "name": "Apache License 2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            }
        ],
        "categories": [
            {"id": shape.category_id, "name": shape.name, "supercategory": shape.supercategory}
            for shape in SHAPE_CLASSES
        ],
    }


def scene_annotations(scene: Scene) -> list[dict[str, Any]]:
    """COCO annotations of a scene's visible parts, without the two ids.

    As in COCO, a crowd's mask is an uncompressed run-length code; an object's is a
    compressed one, so that holes and separated parts are exact.
    """
    return [
        _annotation(scene.mask(k), item.shape.category_id, item.crowd)
        for k, item in enumerate(scene.objects)
    ]


def _annotation(mask: np.ndarray, category_id: int, crowd: bool) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    counts: str | list[int]
    if crowd:
        counts = _run_lengths(mask)
    else:
        code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
        counts = code.decode() if isinstance(code, bytes) else code
    return {
        "category_id": category_id,
        "bbox": [float(value) for value in (x, y, width, height)],
        "area": float(np.count_nonzero(mask)),
        "iscrowd": int(crowd),
        "segmentation": {"size": list(mask.shape), "counts": counts},
    }


def _run_lengths(mask: np.ndarray) -> list[int]:
    """Lengths of the runs down the columns, background first."""
    flat = mask.ravel(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat, prepend=np.int8(0))).tolist()
    return [stop - start for start, stop in zip([0, *changes], [*changes, flat.size], strict=True)]
