"""Where predictions are written: no file of the user's is ever replaced."""

import os
from collections.abc import Sequence
from functools import cache
from itertools import chain, count
from pathlib import Path

from mnv2_dense.commands.prediction_list import Listed, PictureList, free_names
from mnv2_dense.errors import UserError
from mnv2_dense.image_files import find_images
from mnv2_dense.prediction.sources import is_pattern, match_pictures

JOB_FOLDER = ".mnv2_dense"
"""Below an output folder: what is known of the prediction that writes there."""
SETTINGS = "job.json"
"""In the job folder: what the prediction was begun with."""


def check_output(folder: Path) -> None:
    """Refuses a folder that cannot be made or written, before the work is done.

    Raises:
        UserError: A file is in its place, or it may not be written.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"--out {folder}: {existing} is no folder that can be written to")


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
        self.job = out / JOB_FOLDER
        self.list = PictureList(self.job)
        self._real_folder = cache(os.path.realpath)  # 10^6 pictures are in fewer folders.
        self._places = {os.path.realpath(folder) for folder in self.folders}
        if self.records.exists() and not (self.job / SETTINGS).is_file():
            raise UserError(
                f"--out {out}: {self.records} is there and no result of an earlier prediction; "
                "choose another folder"
            )

    def is_result(self, path: Path) -> bool:
        """Whether an earlier prediction wrote a picture."""
        return self._result_name(path) in self.list.names

    def find_sources(self, source: str | Path) -> list[Path]:
        """The pictures of a file, a pattern or a folder, that one without earlier results.

        Raises:
            UserError: The source has no pictures, or only earlier results.
        """
        if not str(source):
            raise UserError("an empty text is no path; give a picture, a folder or a pattern")
        if is_pattern(source):
            return match_pictures(str(source))
        found = find_images(Path(source))
        if Path(source).is_file():
            return found
        kept = [path for path in found if not self.is_result(path)]
        if not kept:
            raise UserError(f"{source}: all its pictures are results of earlier predictions")
        return kept

    def claim(self, pictures: Sequence[Path]) -> dict[int, Path]:
        """Lists pictures that are new, before anything is written, and makes the folders.

        Returns:
            The pictures, each once, by their positions in the list.
        """
        for folder in (self.job, *self.folders):
            folder.mkdir(parents=True, exist_ok=True)
        given: dict[str, Path] = {}
        for path in pictures:
            given.setdefault(str(path.absolute()), path)
        while new := [path for path in given if path not in self.list.positions]:
            names = self.name_pictures(new, list(given))
            listed = [Listed(*each) for each in zip(new, self.list.number(new), names, strict=True)]
            try:
                self.list.add(listed)
            except FileExistsError:  # Another process was first.
                self.list.read()
        return {self.list.positions[path]: given[path] for path in given}

    def name_pictures(self, new: Sequence[str], sources: Sequence[str]) -> list[str]:
        """A name per new picture: unique, and of no file that is a source or not ours."""
        theirs = {name for path in sources if (name := self._result_name(Path(path)))}
        for folder in self.folders:
            with os.scandir(folder) as entries:
                there = (entry.name for entry in entries)
                theirs |= {name.removesuffix(".png") for name in there if name.endswith(".png")}
        return free_names([Path(path).stem for path in new], theirs | self.list.names)

    def files(self, name: str) -> list[Path]:
        """The pictures that a prediction of this name writes."""
        return [folder / f"{name}.png" for folder in self.folders]

    def _result_name(self, path: Path) -> str | None:
        """The name that a prediction would have that wrote a file; None if none could."""
        if path.suffix != ".png":
            return None
        real = path.resolve() if path.is_symlink() else path
        return real.stem if self._real_folder(real.parent) in self._places else None


def free_name(path: Path) -> Path:
    """The path, or the first of `name-2`, `name-3` and so on that does not exist."""
    others = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(name for name in chain([path], others) if not name.exists())
