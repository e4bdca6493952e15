"""Every fault that can be planted into a clean data set."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.inspection.data_set import (
    BOX,
    HEIGHT,
    NUMBERS,
    ORIENTATION,
    WIDTH,
    DataSet,
    Json,
    clean_values,
    image_record,
    pixels,
    save_mask,
    save_picture,
)

Plant = Callable[[DataSet], object]


@dataclass(frozen=True)
class Fault:
    """What is planted, and what must be found: kind, level (0 note to 2 error) and place."""

    plant: Plant
    kind: str
    level: int
    place: str


def convert(mode: str, name: str = "2.jpg") -> Plant:
    """Saves picture 2 anew in another mode; what JPEG cannot hold becomes a PNG of that name."""

    def plant(data: DataSet) -> None:
        kind = "JPEG" if mode in ("L", "CMYK") else "PNG"
        Image.fromarray(pixels(2)).convert(mode).save(data.root / "train" / name, kind)

    return plant


def turn(orientation: int, *, annotate: bool = False) -> Plant:
    """Gives picture 3 an EXIF orientation; `annotate` writes the turned size as well."""

    def plant(data: DataSet) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        save_picture(data.picture(3), 3, exif=exif)
        if annotate:
            data.edit(lambda content: content["images"][2].update(width=HEIGHT, height=WIDTH))
            save_mask(data.mask(3), np.rot90(clean_values()))

    return plant


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_bomb(path: Path, side: int = 50_000) -> None:
    """A PNG of a few bytes that says it is huge."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x"))


def rename_png(data: DataSet) -> None:
    save_picture(data.picture(2), 2, format="PNG")


def copy_with_metadata(data: DataSet) -> None:
    """Picture 4 becomes picture 1 with a comment: other bytes, the same pixels."""
    save_picture(data.picture(4), 1, comment="a copy")


def leak(data: DataSet) -> None:
    data.picture(5).write_bytes(data.picture(2).read_bytes())


def leak_compressed(data: DataSet) -> None:
    """Picture 5 of validation becomes picture 2 of training, of less quality."""
    save_picture(data.picture(5), 2, quality=70)


def leak_resized(data: DataSet) -> None:
    """Picture 5 of validation becomes picture 2 of training, of twice the size."""
    large = Image.fromarray(pixels(2)).resize((2 * WIDTH, 2 * HEIGHT))
    large.save(data.picture(5), "JPEG", quality=90)
    save_mask(data.mask(5), clean_values().repeat(2, axis=0).repeat(2, axis=1))
    sides = {"width": 2 * WIDTH, "height": 2 * HEIGHT}
    data.edit(lambda content: content["images"][0].update(sides), "val")


def name_alike(data: DataSet) -> None:
    """Picture 5 of validation gets the name of picture 2 of training."""
    data.picture(5).rename(data.root / "val" / "2.jpg")
    data.mask(5).rename(data.root / "masks" / "val" / "2.png")
    data.edit(lambda content: content["images"][0].update(file_name="2.jpg"), "val")


def put_folder(data: DataSet) -> None:
    data.picture(2).unlink()
    data.picture(2).mkdir()


def save_16_bit(data: DataSet) -> None:
    Image.fromarray(pixels(2)[..., 0].astype(np.uint16) * 257).save(data.picture(2), "PNG")


PICTURE_FAULTS = {
    "no picture": Fault(
        lambda data: data.picture(2).write_text("no picture"), "unreadable_picture", 2, "2.jpg"
    ),
    "truncated": Fault(
        lambda data: truncate(data.picture(2)), "unreadable_picture", 2, "2.jpg: the image cannot"
    ),
    "empty file": Fault(
        lambda data: data.picture(2).write_bytes(b""), "unreadable_picture", 2, "2.jpg"
    ),
    "bomb": Fault(lambda data: write_bomb(data.picture(2)), "picture_bomb", 2, "2.jpg"),
    "wrong extension": Fault(rename_png, "wrong_extension", 1, "2.jpg (is PNG)"),
    "gray": Fault(convert("L"), "odd_mode", 0, "2.jpg"),
    "CMYK": Fault(convert("CMYK"), "odd_mode", 0, "2.jpg"),
    "palette": Fault(convert("P"), "odd_mode", 0, "2.jpg"),
    "alpha": Fault(convert("RGBA"), "odd_mode", 0, "2.jpg"),
    "1 bit": Fault(convert("1"), "odd_mode", 0, "2.jpg"),
    "16 bit": Fault(save_16_bit, "odd_mode", 0, "2.jpg"),
    "EXIF, as stored": Fault(turn(6), "exif_rotation", 0, "3.jpg (EXIF orientation 6"),
    "EXIF, upright": Fault(
        turn(8, annotate=True), "turned_picture", 2, "3.jpg (EXIF orientation 8"
    ),
    "EXIF, size kept": Fault(turn(3), "exif_unknown", 0, "3.jpg (EXIF orientation 3"),
    "duplicate": Fault(
        lambda data: data.picture(4).write_bytes(data.picture(1).read_bytes()),
        "duplicate_picture",
        1,
        "equal files",
    ),
    "duplicate pixels": Fault(copy_with_metadata, "duplicate_picture", 1, "equal pixels"),
    "leak": Fault(leak, "leaked_picture", 1, "train 2"),
    "leak, compressed anew": Fault(leak_compressed, "near_duplicate", 1, "= val 5"),
    "leak, resized": Fault(leak_resized, "near_duplicate", 1, "= val 5"),
    "equal names": Fault(name_alike, "equal_name", 0, "train 2"),
}
"""Faults of picture files, the same for boxes and masks."""


def add(key: str, **record: object) -> Plant:
    return lambda data: data.edit(lambda content: content[key].append(record))


def annotation(**keys: object) -> Plant:
    record = {"id": 99, "image_id": 1, "category_id": 1, "bbox": [1, 1, 30, 30], "iscrowd": 0}
    return add("annotations", **{**record, **keys})


def change_annotations(change: Callable[[list[Json]], list[Json]], *splits: str) -> Plant:
    def plant(data: DataSet) -> None:
        for split in splits:
            data.edit(
                lambda content: content.update(annotations=change(content["annotations"])), split
            )

    return plant


def without_class(number: int) -> Callable[[list[Json]], list[Json]]:
    return lambda entries: [entry for entry in entries if entry["category_id"] != number]


def both_splits(change: Callable[[Json], object]) -> Plant:
    def plant(data: DataSet) -> None:
        data.edit(change, "train")
        data.edit(change, "val")

    return plant


BOX_FAULTS = {
    "missing picture": Fault(lambda data: data.picture(2).unlink(), "missing_picture", 2, "2.jpg"),
    "folder in a picture's place": Fault(put_folder, "missing_picture", 2, "2.jpg"),
    "equal image ids": Fault(
        lambda data: data.edit(
            lambda content: [
                content["images"][0].update(id=2),
                [
                    entry.update(image_id=2)
                    for entry in content["annotations"]
                    if entry["image_id"] == 5
                ],
            ],
            "val",
        ),
        "equal_image_id",
        0,
        "2 (2.jpg, 5.jpg)",
    ),
    "unused picture": Fault(
        lambda data: save_picture(data.root / "val" / "extra.jpg", 77),
        "unused_picture",
        1,
        "extra.jpg",
    ),
    "duplicate image id": Fault(add("images", **image_record(1)), "duplicate_id", 2, "1"),
    "duplicate annotation id": Fault(annotation(id=10), "duplicate_id", 2, "10"),
    "file named twice": Fault(
        add("images", **{**image_record(1), "id": 50}),
        "duplicate_file_name",
        2,
        "1.jpg (image ids 1, 50)",
    ),
    "wrong size": Fault(
        lambda data: data.edit(lambda content: content["images"][1].update(width=65)),
        "wrong_size",
        2,
        "2.jpg (stored 64 x 48, annotated 65 x 48)",
    ),
    "NaN": Fault(lambda data: data.set_box(1, 1, float("nan"), 5), "nan_box", 1, "10 (1.jpg"),
    "infinite": Fault(lambda data: data.set_box(1, 1, float("inf"), 5), "nan_box", 1, "10 (1.jpg"),
    "inverted": Fault(lambda data: data.set_box(30, 30, -9, 5), "inverted_box", 1, "10 (1.jpg"),
    "degenerate": Fault(lambda data: data.set_box(3, 3, 0, 5), "degenerate_box", 1, "10 (1.jpg"),
    "outside": Fault(lambda data: data.set_box(64, 3, 9, 9), "outside_box", 1, "10 (1.jpg"),
    "under a pixel": Fault(lambda data: data.set_box(3, 3, 0.5, 9), "tiny_box", 1, "10 (1.jpg"),
    "partly outside": Fault(
        lambda data: data.set_box(30, 9, 40, 30), "clipped_box", 1, "10 (1.jpg"
    ),
    "twice": Fault(annotation(bbox=list(BOX)), "duplicate_box", 1, "10 = 99 (1.jpg"),
    "crowd": Fault(annotation(iscrowd=1), "crowd", 0, "99 (1.jpg)"),
    "difficult": Fault(lambda data: data.set_box(difficult=1), "difficult", 0, "10 (1.jpg)"),
    "annotation id 0": Fault(
        lambda data: data.set_box(id=0), "annotation_id_0", 0, "annotation id 0"
    ),
    "unknown category": Fault(annotation(category_id=7), "unknown_category_id", 2, "99"),
    "unknown image": Fault(annotation(image_id=7), "unknown_image_id", 2, "99"),
    "gap": Fault(
        both_splits(lambda content: content["categories"].append({"id": 9, "name": "cow"})),
        "category_gaps",
        0,
        "3 ids from 1 to 9",
    ),
    "class without boxes": Fault(
        both_splits(lambda content: content["categories"].append({"id": 3, "name": "cow"})),
        "absent_class",
        1,
        "cow",
    ),
    "class in val only": Fault(
        change_annotations(without_class(2), "train"), "class_only_in_val", 1, "dog"
    ),
    "class not in val": Fault(
        change_annotations(without_class(2), "val"), "class_not_in_val", 0, "dog"
    ),
    "other categories": Fault(
        add("categories", id=3, name="cow"), "other_categories", 2, "only in training: 3 cow"
    ),
    "equal names": Fault(
        both_splits(lambda content: content["categories"].append({"id": 3, "name": "dog"})),
        "equal_names",
        1,
        "dog (ids 2, 3)",
    ),
    "empty picture": Fault(
        change_annotations(lambda entries: entries[2:], "train"), "empty_picture", 0, "1.jpg"
    ),
    "unmatched box": Fault(annotation(bbox=[1, 1, 60, 2]), "unmatched_box", 0, "1 of 9"),
    "lost box": Fault(
        lambda data: (
            Image.new("RGB", (640, 48)).save(data.picture(1)),
            data.edit(lambda content: content["images"][0].update(width=640)),
            data.set_box(3, 3, 5, 30),
        ),
        "lost_box",
        0,
        "1.jpg (corners 3, 3, 8, 33)",
    ),
    "cut JSON": Fault(lambda data: truncate(data.root / "val.json"), "unreadable_split", 2, ""),
}
"""Faults of annotations."""


def set_value(value: int) -> Plant:
    """Fills the mask of picture 2 with a value."""
    return lambda data: save_mask(data.mask(2), np.full((HEIGHT, WIDTH), value, np.uint8))


def plant_foreign(data: DataSet) -> None:
    values = clean_values()
    values[5, 5] = 3
    save_mask(data.mask(2), values)


def color_mask(data: DataSet) -> None:
    Image.open(data.mask(2)).convert("RGB").save(data.mask(2))


MASK_FAULTS = {
    "foreign value": Fault(plant_foreign, "foreign_value", 2, "2.png: mask values"),
    "other size": Fault(
        lambda data: save_mask(data.mask(2), clean_values()[:, 1:]),
        "wrong_size",
        2,
        "2.jpg (stored 64 x 48, mask 63 x 48)",
    ),
    "missing mask": Fault(lambda data: data.mask(2).unlink(), "missing_mask", 2, "2.png"),
    "colours": Fault(color_mask, "color_mask", 2, "2.png: the mask holds colours"),
    "JPEG": Fault(
        lambda data: Image.fromarray(clean_values()).save(data.mask(2), "JPEG"),
        "inexact_mask",
        2,
        "2.png: JPEG",
    ),
    "truncated mask": Fault(lambda data: truncate(data.mask(2)), "unreadable_mask", 2, "2.png"),
    "void": Fault(set_value(255), "void_mask", 1, "2.png"),
    "one class": Fault(set_value(1), "one_class_mask", 0, "2.png (value 1)"),
    "unused mask": Fault(
        lambda data: save_mask(data.root / "masks" / "val" / "extra.png", clean_values()),
        "unused_mask",
        1,
        "extra.png",
    ),
    "class in val only": Fault(
        lambda data: [
            save_mask(data.mask(number), np.minimum(clean_values(), 1))
            for number in NUMBERS["train"]
        ],
        "class_only_in_val",
        1,
        "dog",
    ),
    "no masks": Fault(
        lambda data: (data.root / "masks" / "val").rename(data.root / "gone"),
        "unreadable_split",
        2,
        "",
    ),
}
"""Faults of masks."""
