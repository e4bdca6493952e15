"""What a user shows to a network: files, folders, pictures in memory, videos, cameras."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
from PIL import Image

from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import SUFFIXES, find_images
from mnv2_dense.images import read_image, to_rgb
from mnv2_dense.prediction.video import is_video, read_camera, read_frames
from mnv2_dense.small_files import is_file, is_folder

if TYPE_CHECKING:
    from torch import Tensor

    InMemory: TypeAlias = Picture | Image.Image | Tensor
    One: TypeAlias = str | Path | InMemory
    Source: TypeAlias = One | int | Iterable[One]

_PATTERN = frozenset("*?[")


class Place(Enum):
    """Where an item's pixels are that are not in memory."""

    FILE = "file"


class Item(NamedTuple):
    """A picture that is to be predicted, or why there is none.

    name: Its path, or what it is called. picture: Its pixels; or that they are in the file of that
    name. error: Why a source of a list has no picture, or no further one.
    """

    name: str
    picture: InMemory | Place = Place.FILE
    error: UserError | None = None

    def read(self) -> Picture:
        """The picture as uint8 RGB [H, W, 3], a file's upright.

        Raises:
            UserError: It cannot be read, or is of no kind or range that is known.
        """
        if self.error is not None:
            raise self.error
        if self.picture is Place.FILE:
            return read_image(Path(self.name), upright=True)
        return to_picture(self.picture, self.name)


def is_one(source: Source) -> bool:
    """Whether a source is a single picture, which has one result, and not a stream of them.

    So is what is no source at all: reading it says so.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return bool(str(source)) and not (is_folder(path) or is_video(path) or is_pattern(source))
    return not (_is_camera(source) or _is_list(source))


def _is_camera(source: object) -> bool:
    return isinstance(source, int | np.integer) and not isinstance(source, bool)


def _is_list(source: object) -> bool:
    one = isinstance(source, str | bytes | Image.Image | np.ndarray) or _is_tensor(source)
    return isinstance(source, Iterable) and not one


def find_items(source: Source) -> Iterator[Item]:
    """The pictures of a source in their order, those of folders and patterns by name.

    Of several sources, one that fails is an item whose reading raises that.

    Raises:
        UserError: The only folder or pattern has no picture, or the only video or the camera
            cannot be read.
    """
    if isinstance(source, str | Path):
        yield from _find_files(source)
    elif _is_camera(source):
        yield from _frames(f"camera {source}", read_camera(int(cast("int", source))))
    else:
        yield from _expand(source, count(1))


def _expand(source: Any, numbers: Iterator[int]) -> Iterator[Item]:
    if isinstance(source, str | Path):
        yield from _or_error(str(source), _find_files(source))
    elif _is_list(source):
        for each in source:
            yield from _expand(each, numbers)
    else:
        yield Item(f"picture {next(numbers)}", source)


def _or_error(name: str, items: Iterator[Item]) -> Iterator[Item]:
    try:
        yield from items
    except UserError as error:
        yield Item(name, error=error)


def _find_files(source: str | Path) -> Iterator[Item]:
    path = Path(source)
    if not str(source):
        raise UserError("an empty text is no path; give a picture, a folder, a pattern or a video")
    if is_video(path):
        yield from _find_videos(str(source))
    elif is_folder(path):
        yield from (Item(str(found)) for found in find_images(path))
    elif is_pattern(source):
        yield from (Item(str(found)) for found in match_pictures(str(source)))
    else:
        yield Item(str(path))


def _find_videos(source: str) -> Iterator[Item]:
    for name in match_videos(source):
        frames = _frames(name, read_frames(Path(name)))
        # What a pattern has found is one of many.
        yield from frames if name == source else _or_error(name, frames)


def _frames(name: str, pictures: Iterator[Picture]) -> Iterator[Item]:
    yield from (Item(f"{name} frame {number}", each) for number, each in enumerate(pictures, 1))


def match_pictures(pattern: str) -> list[Path]:
    """Pictures that match a pattern such as `photos/**/*.jpg`, sorted.

    Raises:
        UserError: There are none.
    """
    pictures = [each for each in _match_files(pattern) if each.suffix.lower() in SUFFIXES]
    if not pictures:
        raise UserError(f"{pattern}: matches no picture (looked for {' '.join(SUFFIXES)})")
    return pictures


def match_videos(source: str) -> list[str]:
    """Videos that match a pattern such as `films/*.mp4`, sorted; else the source alone."""
    found = _match_files(source) if is_pattern(source) else []
    return [str(each) for each in found if is_video(each)] or [source]


def _match_files(pattern: str) -> list[Path]:
    found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207  it may be absolute
    return sorted(each for each in found if is_file(each))


def is_pattern(source: str | Path) -> bool:
    """Whether a text is no file's name, but a pattern such as `photos/*.jpg`."""
    path = Path(source)
    return not (_PATTERN.isdisjoint(str(source)) or is_file(path) or is_folder(path))


def _is_tensor(source: object) -> bool:
    """Without importing torch: what is no module's there is no tensor."""
    return type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")


def to_picture(source: Any, name: str) -> Picture:
    """A picture in memory as uint8 RGB [H, W, 3].

    Args:
        source: A PIL image; an array, uint8 RGB [H, W, 3]; or a tensor [3, H, W], uint8 or float
            from 0 to 1. Nothing is turned: boxes are of the pixels as they are.
        name: For messages.

    Raises:
        UserError: It is something else.
    """
    if isinstance(source, Image.Image):
        try:
            picture = to_rgb(source)
        except (OSError, ValueError) as error:  # Of a lazy one, the file is read only now.
            raise UserError(f"{name}: the image cannot be read ({error})") from error
    elif isinstance(source, np.ndarray):
        picture = source
    elif _is_tensor(source):
        picture = _from_tensor(source, name)
    else:
        raise UserError(
            f"{name}: a {type(source).__name__} is no picture; give a path, a PIL image, an array "
            "uint8 [H, W, 3] or a tensor [3, H, W]"
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise UserError(
            f"{name}: an array is uint8 RGB [H, W, 3], not {picture.dtype} {list(picture.shape)}"
        )
    return np.ascontiguousarray(picture)


def _from_tensor(tensor: Tensor, name: str) -> Picture:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16.
    values = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if values.ndim != 3 or values.shape[0] != 3:
        raise UserError(f"{name}: a tensor is [3, H, W], not {list(values.shape)}")
    if np.issubdtype(values.dtype, np.floating):
        if not ((values >= 0) & (values <= 1)).all():
            raise UserError(
                f"{name}: a float tensor is RGB from 0 to 1, not normalised and without NaN; this "
                f"one is from {values.min():g} to {values.max():g}"
            )
        values = np.rint(values * 255).astype(np.uint8)
    return values.transpose(1, 2, 0)
