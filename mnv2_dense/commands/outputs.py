"""Where predictions are written: no file of the user's is ever replaced."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.images import find_images

MANIFEST = ".mnv2_dense.json"
"""Names, in an output folder, the files that predictions wrote there and may write again."""


class Outputs:
    """The results in an output folder.

    Args:
        out: The folder; it need not exist.
        folders: Folders below it that hold a PNG per picture; "" is the folder itself.
        records_name: File of the records of all pictures.

    Raises:
        UserError: A file of the user's has the name of the records.
    """

    def __init__(self, out: Path, folders: Sequence[str], records_name: str) -> None:
        self.out = out
        self.folders = [out / name for name in folders]
        self.records = out / records_name
        self._written = _read_manifest(out)
        if self.records.exists() and not self.is_result(self.records):
            raise UserError(
                f"--out {out}: {self.records} is there and no result of an earlier prediction; "
                "choose another folder"
            )

    def is_result(self, path: Path) -> bool:
        """Whether an earlier prediction wrote a file."""
        return path.resolve() in self._written

    def find_sources(self, source: Path) -> list[Path]:
        """The pictures of a file or folder, without the results of earlier predictions.

        Raises:
            UserError: The source has no pictures, or only earlier results.
        """
        found = find_images(source)
        if source.is_file():
            return found
        kept = [path for path in found if not self.is_result(path)]
        if not kept:
            raise UserError(f"{source}: all its pictures are results of earlier predictions")
        return kept

    def name_pictures(self, pictures: Sequence[Path]) -> list[str]:
        """A name per picture: unique, and of no file that is a source or not ours."""
        sources = {path.resolve() for path in pictures}
        names: dict[str, None] = {}  # in their order
        for path in pictures:
            name, number = path.stem, 1
            while name in names or not self._free(name, sources):
                number += 1
                name = f"{path.stem}-{number}"
            names[name] = None
        return list(names)

    def files(self, name: str) -> list[Path]:
        """The pictures that a prediction of this name writes."""
        return [folder / f"{name}.png" for folder in self.folders]

    def claim(self, names: Iterable[str]) -> None:
        """Makes the folders and notes what will be written, before it is."""
        files = [self.records, *(file for name in names for file in self.files(name))]
        self._written |= {file.resolve() for file in files}
        for folder in (self.out, *self.folders):
            folder.mkdir(parents=True, exist_ok=True)
        root = self.out.resolve()
        listed = sorted(str(file.relative_to(root)) for file in self._written)
        (self.out / MANIFEST).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")

    def _free(self, name: str, sources: set[Path]) -> bool:
        """Whether the pictures of a name may be written."""
        targets = [file.resolve() for file in self.files(name)]
        ours = all(target in self._written or not target.exists() for target in targets)
        return ours and sources.isdisjoint(targets)


def _read_manifest(out: Path) -> set[Path]:
    """Files that earlier predictions wrote; none if there is no manifest that can be read."""
    try:
        listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    root = out.resolve()
    names = listed if isinstance(listed, list) else []
    return {root / name for name in names if isinstance(name, str)}


def free_name(path: Path) -> Path:
    """The path, or the first of `name-2`, `name-3` and so on that does not exist."""
    others = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(name for name in chain([path], others) if not name.exists())
