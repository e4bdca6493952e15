"""Writes a data set in another format, into a new folder."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from mnv2_dense.builders import read_split, settle_classes
from mnv2_dense.builders.detection_data import read_boxes
from mnv2_dense.commands.opening import check_same_categories
from mnv2_dense.commands.session import say
from mnv2_dense.commands.sources import data_section, open_source
from mnv2_dense.config.schema import Config, DetectionConfig, SegmentationConfig
from mnv2_dense.drawing import encode_label_map
from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import describe, group, refuse
from mnv2_dense.formats.write_coco import write_coco
from mnv2_dense.formats.write_voc import write_voc
from mnv2_dense.formats.write_yolo import write_yolo
from mnv2_dense.formats.written import Splits, Written
from mnv2_dense.segmentation.index import SegmentationIndex

WRITERS: dict[str, Callable[[Splits, Path], Written]] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
}
MASKS = "masks"
"""The one target of segmentation: folders of pictures and index masks."""
TARGETS = (*WRITERS, MASKS)


def convert(
    source: Path, overrides: Sequence[str], *, target: str, out: Path, link: bool = False
) -> None:
    """Writes both splits of a data set, and says what the target cannot hold.

    Args:
        source: A config, or the folder of a data set.
        overrides: Changes to the config, of the form `key.path=value`.
        target: One of `TARGETS`.
        out: A folder that is not there yet, or empty.
        link: Whether pictures are symbolic links instead of copies.

    Raises:
        UserError: The data cannot be used, or the target is not of their task.
    """
    config, _ = open_source(source, overrides)
    detects = isinstance(config, DetectionConfig)
    if detects == (target == MASKS):
        allowed = ", ".join(WRITERS) if detects else MASKS
        raise UserError(f"{source}: a {config.task} data set; it can be written as {allowed}")
    with _new_folder(out) as folder:
        written = (_write_boxes if detects else _write_masks)(config, target, folder)
        for picture, place in tqdm(written.pictures, "pictures", unit="", disable=None):
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                place.symlink_to(picture.resolve())
            else:
                shutil.copyfile(picture, place)
    say(f"wrote {len(written.pictures)} pictures and what belongs to them to {out}")
    for line in written.lost:
        say(f"not as before: {line}")
    data = {"root": str(out), **written.data}
    upright = {} if config.data.orientation == "stored" else {"orientation": "upright"}
    say(f"\nto train on it (task: {config.task}):\n\n{data_section({**data, **upright})}")


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when all is written, and is removed otherwise."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} is there already; give a new folder, nothing is overwritten")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o777 & ~_umask())
        folder.replace(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _splits(config: Config) -> list[str]:
    drawn = config.data.val_share is not None
    yolo = config.data.format == "yolo"
    return ["train", "val"] if drawn or yolo or config.data.val_images else ["train"]


def _write_boxes(config: Config, target: str, folder: Path) -> Written:
    assert isinstance(config, DetectionConfig)
    data = settle_classes(config).data
    assert isinstance(data, type(config.data))
    splits = {split: read_boxes(data, split) for split in _splits(config)}
    for boxes in splits.values():
        refuse(boxes.problems)
        for found in group(boxes.problems).values():
            say(describe(found))
    categories = [boxes.categories for boxes in splits.values()]
    check_same_categories(categories[0], categories[-1], "train and val")
    return WRITERS[target](splits, folder)


def _write_masks(config: Config, _: str, folder: Path) -> Written:
    assert isinstance(config, SegmentationConfig)
    config = settle_classes(config)
    pictures: list[tuple[Path, Path]] = []
    for split in _splits(config):
        index = read_split(config, split)
        assert isinstance(index, SegmentationIndex)
        for position in tqdm(range(len(index)), f"{split} masks", unit="", disable=None):
            key, picture = index.image_id(position), index.path(position)
            mask = folder / "masks" / split / f"{key}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            encode_label_map(index.label_map(position)).save(mask)
            pictures.append((picture, folder / "images" / split / f"{key}{picture.suffix}"))
        names = "".join(f"{category.name}\n" for category in index.categories)
        (folder / "classes.txt").write_text(names, encoding="utf-8")
    return Written({"format": "folders"}, pictures, [])
