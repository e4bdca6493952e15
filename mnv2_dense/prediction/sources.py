"""What a user shows to a network: files, folders, pictures in memory, videos, cameras."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
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

if TYPE_CHECKING:
    from torch import Tensor

    InMemory: TypeAlias = Picture | Image.Image | Tensor
    One: TypeAlias = str | Path | InMemory
    Source: TypeAlias = One | int | Iterable[One]

_PATTERN = frozenset("*?[")


class Item(NamedTuple):
    """A picture that is to be predicted: its name, and its pixels if they are in memory."""

    name: str
    picture: InMemory | None = None

    def read(self) -> Picture:
        """The picture as uint8 RGB [H, W, 3], a file's upright.

        Raises:
            UserError: It cannot be read, or is of no kind or range that is known.
        """
        if self.picture is None:
            return read_image(Path(self.name), upright=True)
        return to_picture(self.picture, self.name)


def is_one(source: Source) -> bool:
    """Whether a source is a single picture, which has one result, and not a stream of them."""
    if isinstance(source, str | Path):
        path = Path(source)
        return bool(str(source)) and not (path.is_dir() or is_video(path) or is_pattern(source))
    return _is_in_memory(source)


def _is_in_memory(source: object) -> bool:
    return isinstance(source, Image.Image | np.ndarray) or _is_tensor(source)


def find_items(source: Source) -> Iterator[Item]:
    """The pictures of a source in their order, those of folders and patterns by name.

    Raises:
        UserError: A folder or pattern has no picture, or a video or camera cannot be read.
    """
    numbers = count(1)
    if isinstance(source, int | np.integer) and not isinstance(source, bool):
        number = int(source)
        yield from (_frame(f"camera {number}", *each) for each in enumerate(read_camera(number), 1))
    else:
        yield from _expand(source, numbers)


def _expand(source: Any, numbers: Iterator[int]) -> Iterator[Item]:
    if isinstance(source, str | Path):
        yield from _find_files(source)
    elif isinstance(source, Iterable) and not (_is_in_memory(source) or isinstance(source, bytes)):
        for each in source:
            yield from _expand(each, numbers)
    else:
        yield Item(f"picture {next(numbers)}", cast("InMemory", source))


def _find_files(source: str | Path) -> Iterator[Item]:
    path = Path(source)
    if not str(source):
        raise UserError("an empty text is no path; give a picture, a folder, a pattern or a video")
    if is_video(path):
        for name in match_videos(str(source)):
            yield from (_frame(name, *each) for each in enumerate(read_frames(Path(name)), 1))
    elif path.is_dir():
        yield from (Item(str(found)) for found in find_images(path))
    elif is_pattern(source):
        yield from (Item(str(found)) for found in match_pictures(str(source)))
    else:
        yield Item(str(path))


def _frame(name: str, number: int, picture: Picture) -> Item:
    return Item(f"{name} frame {number}", picture)


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
    return sorted(each for each in found if each.is_file())


def is_pattern(source: str | Path) -> bool:
    """Whether a text is no file's name, but a pattern such as `photos/*.jpg`."""
    return not _PATTERN.isdisjoint(str(source)) and not Path(source).exists()


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
