"""Reads folders of pictures and masks: VOC's layout, Cityscapes', CamVid's, anyone's."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mnv2_dense.errors import UserError
from mnv2_dense.formats.picture_files import link_problems, read_list
from mnv2_dense.formats.problems import Problem, errors_at, refuse
from mnv2_dense.image_files import SUFFIXES, find_images, leaves_folder, list_files, missing_files
from mnv2_dense.images import image_size
from mnv2_dense.ops.texts import list_first
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.masks import MaskRule, size_problem
from mnv2_dense.structures import Category

HOW_TO_GET_VOC = (
    "To get Pascal VOC 2012, run mnv2-dense download_data voc, or download "
    "VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012 and unpack it; "
    "data.root is its folder "
    "VOCdevkit/VOC2012, which holds JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/"
)


def read_folders(
    *,
    images: Path,
    masks: Path,
    list_file: Path | None,
    categories: Sequence[Category],
    rule: MaskRule,
    image_suffix: str = "",
    mask_suffix: str = ".png",
    hint: str | None = None,
    check_sizes: bool = True,
    upright: bool = False,
) -> SegmentationIndex:
    """The pictures of a folder, or those of it that a list names, with their masks.

    A picture's key is its path below `images` without `image_suffix` (without the file
    extension if that is empty). Its mask is `masks` / (key + mask_suffix). Keys are the image ids.

    Args:
        images: Folder of the pictures.
        masks: Folder of the masks, with the same folders in it.
        list_file: A text file with a key per line (VOC's ImageSets), in the order wanted; a
            picture's extension may follow. Lines
            of a picture's and a mask's path, as lists of the augmented VOC have them, stand for
            the picture's file name. None takes every picture, at every depth, sorted by key.
        categories: The classes.
        rule: How the masks are read.
        image_suffix: End of the pictures' names; empty for any extension of a picture.
        mask_suffix: End of the masks' names.
        hint: What to do where a folder or the list is missing; None tells of VOC where the list
            is in VOC's place.
        check_sizes: Whether pictures and masks are opened; otherwise it shows when they are read
            (`data.on_bad_image=skip`).
        upright: Whether masks were drawn on the pictures as EXIF turns them.

    Raises:
        UserError: A folder, the list, a picture or a mask is missing; the list is empty, no text,
            or names a picture twice or outside the folder; or a mask is not as large as its
            picture. All pictures are looked at, and the first offenders are named.
    """
    pairs = pair_files(
        images=images,
        masks=masks,
        list_file=list_file,
        image_suffix=image_suffix,
        mask_suffix=mask_suffix,
        hint=hint,
    )
    refuse(pairs.problems)
    if check_sizes:
        _check_sizes(pairs.image_paths, pairs.mask_paths, upright)
    return SegmentationIndex(
        categories, pairs.keys, pairs.image_paths, pairs.mask_paths, rule, upright=upright
    )


class Pairs(NamedTuple):
    """Pictures with their masks, by key, and what is wrong with the others."""

    keys: list[str]
    image_paths: list[Path]
    mask_paths: list[Path]
    problems: list[Problem]
    without_masks: list[Path]

    def choose(self, positions: Sequence[int]) -> "Pairs":
        """Those at some positions alone, in that order."""
        keys = [self.keys[position] for position in positions]
        images = [self.image_paths[position] for position in positions]
        masks = [self.mask_paths[position] for position in positions]
        return Pairs(keys, images, masks, self.problems, self.without_masks)


def pair_files(
    *,
    images: Path,
    masks: Path,
    list_file: Path | None,
    image_suffix: str = "",
    mask_suffix: str = ".png",
    hint: str | None = None,
) -> Pairs:
    """The files of `read_folders`, none of which is opened; what cannot be used is left out.

    Raises:
        UserError: A folder or the list is missing, or there are no pictures at all.
    """
    _check_present(images, masks, list_file, hint)
    problems: list[Problem] = []
    if list_file is None:
        names = [path.relative_to(images).as_posix() for path in find_images(images)]
        found = _by_key(names, image_suffix)
        keys = sorted(found)
        if not keys:
            raise UserError(f"{images}: no pictures whose names end with {image_suffix}")
    else:
        keys = _read_list(list_file, image_suffix, problems)
        found = _by_key(_names_beside(keys, images), image_suffix)
        missing = [key + image_suffix for key in keys if key not in found]
        title = f"{images}: pictures named in {list_file} are missing:"
        problems += errors_at("missing_picture", title, missing)
        keys = [key for key in keys if key in found]
    doubled = [" and ".join(found[key]) for key in keys if len(found[key]) > 1]
    title = f"{images}: several pictures of one name (set data.image_suffix):"
    problems += errors_at("equal_picture_names", title, doubled)
    missing = missing_files(masks, [key + mask_suffix for key in keys])
    title = f"{masks}: masks of pictures in {images} are missing:"
    problems += errors_at("missing_mask", title, missing)
    problems += link_problems(images, [name for key in keys for name in found[key]])
    problems += link_problems(masks, [key + mask_suffix for key in keys])
    lost = set(missing)
    without_masks = [images / found[key][0] for key in keys if key + mask_suffix in lost]
    keys = [key for key in keys if key + mask_suffix not in lost]
    image_paths = [images / found[key][0] for key in keys]
    mask_paths = [masks / (key + mask_suffix) for key in keys]
    return Pairs(keys, image_paths, mask_paths, problems, without_masks)


def _check_present(images: Path, masks: Path, list_file: Path | None, hint: str | None) -> None:
    missing = []
    if list_file is not None and not list_file.is_file():
        missing.append(f"list of pictures {list_file}")
    if not images.is_dir():
        missing.append(f"image folder {images}")
    if not masks.is_dir():
        missing.append(f"mask folder {masks}")
    if missing:
        if hint is None:
            in_voc = list_file is not None and "ImageSets" in list_file.parts
            hint = HOW_TO_GET_VOC if in_voc else "Correct data.root and the paths below it"
        raise UserError(f"not found: {' and '.join(missing)}. {hint}")


def _read_list(file: Path, image_suffix: str, problems: list[Problem]) -> list[str]:
    keys = [_key_of_entry(entry, image_suffix) for entry in read_list(file)]
    outside = [key for key in keys if leaves_folder(key)]
    title = f"{file}: names leave the image folder (absolute or '..'):"
    problems += errors_at("outside_folder", title, outside)
    counts = Counter(key for key in keys if not leaves_folder(key))
    twice = [key for key in counts if counts[key] > 1]
    problems += errors_at("named_twice", f"{file}: pictures named twice:", twice)
    return list(counts)


def _key_of_entry(entry: str, image_suffix: str) -> str:
    columns = entry.split()
    if len(columns) == 2 and all(PurePosixPath(column).suffix for column in columns):
        name = PurePosixPath(columns[0]).name
        return name.removesuffix(image_suffix or PurePosixPath(name).suffix)
    path = PurePosixPath(entry)
    listed_as_file = not image_suffix and path.suffix.lower() in SUFFIXES
    return (path.with_suffix("") if listed_as_file else path).as_posix()


def _names_beside(keys: Iterable[str], images: Path) -> list[str]:
    """Files in those folders below `images` that the keys are in, relative to it."""
    parents = {PurePosixPath(key).parent for key in keys}
    return [
        (parent / name).as_posix()
        for parent in sorted(parents)
        for name in sorted(list_files(images / parent))
    ]


def _by_key(names: Iterable[str], image_suffix: str) -> dict[str, list[str]]:
    """The pictures among the files, in lists of those that have the same key."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        suffix = image_suffix or PurePosixPath(name).suffix
        picture = bool(image_suffix) or suffix.lower() in SUFFIXES
        if picture and name.endswith(suffix):
            found[name.removesuffix(suffix)].append(name)
    return dict(found)


def _check_sizes(image_paths: Sequence[Path], mask_paths: Sequence[Path], upright: bool) -> None:
    """Compares the sizes in the files' headers: a wrong one would fail in the midst of an epoch."""
    problems = []
    for image, mask in zip(image_paths, mask_paths, strict=True):
        try:
            problem = size_problem(image_size(image, upright=upright), image_size(mask))
        except UserError as error:
            problems.append(str(error))
        else:
            if problem:
                problems.append(f"{mask}: {problem}")
    _refuse(problems, "masks and pictures that cannot be used:")


def _refuse(bad: Sequence[str], problem: str) -> None:
    if bad:
        raise UserError(f"{problem} {list_first(bad)}")
