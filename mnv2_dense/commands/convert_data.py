"""Writes a data set in another format, into a new folder."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from mnv2_dense.builders import read_split, settle_classes
from mnv2_dense.builders.detection_data import read_boxes
from mnv2_dense.builders.opening import check_same_categories
from mnv2_dense.builders.segmentation_data import mask_rule
from mnv2_dense.caching.manifest import find_cache
from mnv2_dense.commands.checks import check_outside
from mnv2_dense.commands.new_folder import new_folder
from mnv2_dense.commands.session import say
from mnv2_dense.commands.sources import data_section, open_source
from mnv2_dense.config.schema import Config, DetectionConfig, SegmentationConfig
from mnv2_dense.drawing import encode_label_map
from mnv2_dense.errors import UserError
from mnv2_dense.formats.color_table import read_table
from mnv2_dense.formats.problems import describe, group, refuse
from mnv2_dense.formats.recognition import VAL_SHARE
from mnv2_dense.formats.write_coco import write_coco
from mnv2_dense.formats.write_voc import write_voc
from mnv2_dense.formats.write_yolo import write_yolo
from mnv2_dense.formats.written import Splits, Written, describe_renamed, visible_name
from mnv2_dense.formats.yolo_yaml import find_yaml, read_yaml
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.rendered import RenderedIndex

WRITERS: dict[str, Callable[[Splits, Path], Written]] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
}
MASKS = "masks"
"""The one target of segmentation: folders of pictures and index masks."""
SPLITS = ("train", "val")

_OF_VOC = "parts of objects, and the elements source, segmented, owner and attributes of XML files"
_OF_OUTLINES = (
    "instances: merged into a map of classes, by name; crowds, and where two classes overlap, are "
    "void"
)
_OF_LABELS = "label ids: now the 19 train ids, and the others are void"
_TEST_SPLITS = (
    *("test", "test2017", "images/test", "leftImg8bit/test"),
    *("ImageSets/Main/test.txt", "ImageSets/Segmentation/test.txt"),
)
"""Where data sets have a third split."""


def convert(
    source: Path, overrides: Sequence[str], *, target: str, out: Path, link: bool = False
) -> None:
    """Writes all splits of a data set, and says what the target cannot hold.

    A set without validation pictures stays one: a share is drawn only where the config or an
    override asks for it.

    Args:
        source: A config, or the folder of a data set.
        overrides: Changes to the config, of the form `key.path=value`.
        target: A key of `WRITERS`, or `MASKS`.
        out: A folder that is not there yet, or empty, and outside of the data.
        link: Whether pictures are symbolic links instead of copies.

    Raises:
        UserError: The data cannot be used, or the target is not of their task.
    """
    config = _open(source, overrides)
    detects = isinstance(config, DetectionConfig)
    if detects == (target == MASKS):
        allowed = ", ".join(WRITERS) if detects else MASKS
        raise UserError(f"{source}: a {config.task} data set; it can be written as {allowed}")
    check_outside(out, config)
    if find_cache(Path(config.data.root)) is not None:
        raise UserError(f"data.root={config.data.root}: a cache; convert the originals")
    splits = _splits(config)
    with new_folder(out) as folder:
        written = (_write_boxes if detects else _write_masks)(config, splits, target, folder)
        for picture, place in tqdm(written.pictures, "pictures", unit="", disable=None):
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                place.symlink_to(picture.resolve())
            else:
                shutil.copyfile(picture, place)
    say(f"wrote {len(written.pictures)} pictures and what belongs to them to {out}")
    for line in (*written.lost, *_test_splits(config, written)):
        # A file name may hold bytes that are no text.
        say(f"not as before: {line}".encode(errors="backslashreplace").decode())
    share = {} if "val" in splits else {"val_share": VAL_SHARE}
    upright = {} if config.data.orientation == "stored" else {"orientation": "upright"}
    data = {"root": str(out), **written.data, **share, **upright}
    say(f"\nto train on it (task: {config.task}):\n\n{data_section(data)}")


def _open(source: Path, overrides: Sequence[str]) -> Config:
    """The config; the validation share that a recognised folder gets for training is left out."""
    config, recognised = open_source(source, overrides)
    asked = any(text.partition("=")[0].strip() == "data.val_share" for text in overrides)
    if recognised is None or asked:
        return config
    data = config.data.model_copy(update={"val_share": None})
    return config.model_copy(update={"data": data})


def _splits(config: Config) -> list[str]:
    """The splits that are there, or that a share is drawn for."""
    drawn = config.data.val_share is not None
    if config.data.format != "yolo" or config.data.val_images or drawn:
        return [*SPLITS] if drawn or config.data.val_images else ["train"]
    root = Path(config.data.root)
    file = root if root.is_file() else find_yaml(root)
    return [*SPLITS] if file is not None and "val" in read_yaml(file).places else ["train"]


def _test_splits(config: Config, written: Written) -> list[str]:
    """A line for each third split of the data that was not written as one of the two."""
    data, root = config.data, Path(config.data.root).absolute()
    root = root.parent if root.is_file() else root
    lists = [root / listed for split in SPLITS if (listed := getattr(data, f"{split}_list"))]
    read = [*lists, *(picture.absolute() for picture, _ in written.pictures)]
    places = [root / name for name in _TEST_SPLITS if (root / name).exists()]
    return [
        f"{place}: a test split, left out"
        for place in places
        if not any(path.is_relative_to(place) for path in read)
    ]


def _write_boxes(config: Config, splits: Sequence[str], target: str, folder: Path) -> Written:
    assert isinstance(config, DetectionConfig)
    data = settle_classes(config).data
    assert isinstance(data, type(config.data))
    sets = {split: read_boxes(data, split, whole=True) for split in splits}
    read: list[str] = [_OF_VOC] if data.format == "voc" else []
    for boxes in sets.values():
        refuse(boxes.problems)
        read += [describe(found) for found in group(boxes.problems).values()]
    categories = [boxes.categories for boxes in sets.values()]
    check_same_categories(categories[0], categories[-1], "train and val")
    written = WRITERS[target](sets, folder)
    return written._replace(lost=[*read, *written.lost])


def _write_masks(config: Config, splits: Sequence[str], _: str, folder: Path) -> Written:
    assert isinstance(config, SegmentationConfig)
    config = settle_classes(config)
    assert isinstance(config, SegmentationConfig)
    pictures: list[tuple[Path, Path]] = []
    renamed: list[tuple[str, str]] = []
    for split in splits:
        index = read_split(config, split)
        assert isinstance(index, SegmentationIndex)
        _write_classes([category.name for category in index.categories], folder / "classes.txt")
        for position in tqdm(range(len(index)), f"{split} masks", unit="", disable=None):
            picture, before = index.path(position), _name(config, index, split, position)
            name = visible_name(picture, before)
            mask = (folder / "masks" / split / name).with_suffix(".png")
            if mask.exists():
                raise UserError(f"{picture}: another picture would have the same mask; rename one")
            mask.parent.mkdir(parents=True, exist_ok=True)
            encode_label_map(index.label_map(position)).save(mask)
            pictures.append((picture, folder / "images" / split / name))
            renamed.append((before, name))
    lost = [*_lost_to_masks(config), *describe_renamed(renamed, "hidden ones are passed over")]
    return Written({"format": "folders"}, pictures, lost)


def _name(config: SegmentationConfig, index: SegmentationIndex, split: str, position: int) -> str:
    """A picture's name, folders kept; outlines go by ids, and by names only here."""
    picture, data = index.path(position), config.data
    if not isinstance(index, RenderedIndex):
        return f"{index.image_id(position)}{picture.suffix}"
    images = getattr(data, f"{split if data.val_share is None else 'train'}_images")
    return picture.relative_to(Path(data.root, images)).as_posix()


def _write_classes(names: Sequence[str], file: Path) -> None:
    file.write_text("".join(f"{name}\n" for name in names), "utf-8", errors="backslashreplace")
    try:
        same = read_table(file).names == tuple(names)
    except UserError:
        same = False
    if not same:
        raise UserError(
            f"{', '.join(map(repr, names))}: class names that {file.name}, a name per line, cannot "
            "hold (empty, twice, of several lines, or with # in front); give data.classes"
        )


def _lost_to_masks(config: SegmentationConfig) -> list[str]:
    """What becomes of outlines and label ids."""
    data = config.data
    lost = [_OF_OUTLINES] if data.format == "coco" else []
    if data.min_object_area:
        least = f"{data.min_object_area:g} pixels (data.min_object_area)"
        lost.append(f"training pictures with objects of less than {least}: left out")
    return [*lost, *([_OF_LABELS] if mask_rule(data).labels is not None else [])]
