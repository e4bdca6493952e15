"""Picture files, each decoded once: what they are, and what is wrong with them."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from tqdm import tqdm

from mnv2_dense.errors import UserError
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.images import LAST_UNSWAPPED, open_image, orientation, read_image
from mnv2_dense.inspection.findings import Finding
from mnv2_dense.structures import ImageSize

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 64
"""Files per thread that wait for their turn: results are handed on in order, in bounded memory."""

THUMBNAIL = 16
"""Rows and columns of the thumbnails that are compared."""
_SAMPLED = 128

_SAME_FORMAT = {"MPO": "JPEG", "JPEG2000": "JPEG"}
"""Phones write MPO under the name .jpg."""


class PictureFacts(NamedTuple):
    """What a picture file is.

    Attributes:
        path: The file.
        fault: Kind of the problem that keeps it from being read; empty if it can be.
        error: What the reader says of it.
        format: By its content: `JPEG`.
        mode: Pillow's colour mode: `RGB`, `L`, `CMYK`; with its bits if they are more than 8.
        size: As stored.
        orientation: EXIF's, 1 if there is none.
        bytes_hash: Of the file.
        pixels_hash: Of the decoded RGB pixels.
        thumbnail: `THUMBNAIL` x `THUMBNAIL` gray values, by which copies that were compressed
            anew or resized are found.
    """

    path: Path
    fault: str = ""
    error: str = ""
    format: str = ""
    mode: str = ""
    size: ImageSize = ImageSize(0, 0)
    orientation: int = 1
    bytes_hash: bytes = b""
    pixels_hash: bytes = b""
    thumbnail: bytes = b""

    @property
    def upright_size(self) -> ImageSize:
        """Its size as EXIF turns it."""
        return self.size if self.orientation <= LAST_UNSWAPPED else ImageSize(*self.size[::-1])


def scan_pictures(paths: Collection[Path], jobs: int) -> dict[Path, PictureFacts]:
    """Every file read and decoded once, in `jobs` threads (decoders leave Python's lock)."""
    found = map_files(scan_picture, paths, jobs, "pictures")
    return {facts.path: facts for facts in found}


def map_files(
    function: Callable[[Item], Result], items: Collection[Item], jobs: int, title: str
) -> Iterator[Result]:
    """The function's result of every item, in order, with a progress bar on a terminal."""
    listed = list(items)
    bar = tqdm(total=len(listed), desc=title, unit="", disable=None, leave=False)
    with bar, ThreadPoolExecutor(jobs) as pool:
        for start in range(0, len(listed), AHEAD * jobs):
            for result in pool.map(function, listed[start : start + AHEAD * jobs]):
                bar.update()
                yield result


def scan_picture(path: Path) -> PictureFacts:
    """What a picture file is; what cannot be read is said, not raised."""
    try:
        # First what may be opened at all: a pipe would be waited for.
        with open_image(path) as image:
            kind, mode, turned = image.format or "", _mode(image), orientation(image)
        with path.open("rb") as file:
            bytes_hash = hashlib.file_digest(file, _new_hash).digest()
        pixels = read_image(path)
    except (UserError, OSError) as error:
        return PictureFacts(path, _fault(error), _explain(path, error))
    size = ImageSize(*pixels.shape[:2])
    digest = _new_hash(repr(size).encode())
    digest.update(pixels.data)
    hashes = bytes_hash, digest.digest()
    return PictureFacts(path, "", "", kind, mode, size, turned, *hashes, _thumbnail(pixels))


def _thumbnail(pixels: np.ndarray) -> bytes:
    # Averaging all pixels would take as long as hashing them; copies are found without it.
    small = cv2.resize(pixels, (_SAMPLED, _SAMPLED), interpolation=cv2.INTER_LINEAR)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).tobytes()


def picture_findings(
    pictures: Iterable[PictureFacts], name_of: Callable[[Path], str], unreadable: Level
) -> list[Finding]:
    """What is wrong with files by themselves.

    Args:
        pictures: All files that the data name.
        name_of: What a file is called in messages.
        unreadable: Level of a picture that cannot be read.
    """
    found: list[Finding] = []
    for facts in pictures:
        name = name_of(facts.path)
        if facts.fault in _FAULTS:
            problem = Problem(facts.fault, unreadable, _FAULTS[facts.fault], facts.error, _REPLACE)
            found.append(Finding(problem))
        if not facts.fault:
            found += [Finding(problem) for problem in _odd_file(facts, name)]
    return found


def _odd_file(facts: PictureFacts, name: str) -> Iterator[Problem]:
    suffix = facts.path.suffix.lower()
    content = _SAME_FORMAT.get(facts.format, facts.format)
    expected = Image.registered_extensions().get(suffix)
    if _SAME_FORMAT.get(expected or "", expected) != content:
        title = "files whose name says another format than their content:"
        remedy = "; other programs may refuse them: rename them"
        place = f"{name} (is {content})"
        yield Problem("wrong_extension", Level.PROBLEM, title, place, remedy)
    if facts.mode != "RGB":
        title = f"pictures of mode {facts.mode}, which are read as 8-bit RGB:"
        yield Problem("odd_mode", Level.NOTE, title, name)


_FAULTS = {
    "unreadable_picture": "pictures that cannot be read:",
    "picture_bomb": "pictures too large to be opened safely:",
}
_REPLACE = "; replace or remove them, or set data.on_bad_image=skip"


def _fault(error: Exception) -> str:
    # Readers of all formats report what is no file.
    if isinstance(error.__cause__ or error, FileNotFoundError | IsADirectoryError):
        return "missing_picture"
    bomb = isinstance(error.__cause__, Image.DecompressionBombError)
    return "picture_bomb" if bomb else "unreadable_picture"


def _explain(path: Path, error: UserError | OSError) -> str:
    if isinstance(error, UserError):
        return str(error)
    return f"{path}: the file cannot be read ({error.strerror or error})"


def _new_hash(content: bytes = b"") -> "hashlib.blake2b":
    return hashlib.blake2b(content, digest_size=16)


def _mode(image: ImageFile) -> str:
    stored = str(image.tile[0].args) if image.tile else ""
    wide = ";16" in stored or image.mode.startswith("I")
    alpha = image.has_transparency_data and not image.mode.endswith(("A", "a"))
    return image.mode + (" (16 bit)" if wide else "") + (" (transparent)" if alpha else "")
