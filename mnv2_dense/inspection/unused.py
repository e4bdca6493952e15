"""Pictures in the folders of a data set that it does not use."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.formats.picture_files import stem_of
from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.image_files import find_images
from mnv2_dense.inspection.findings import Finding


def unused_findings(folders: Iterable[Path], used: Collection[Path], listed: bool) -> list[Finding]:
    """Pictures in the folders that the data do not name.

    Args:
        folders: Where the pictures of all splits are.
        used: The named ones of all splits.
        listed: Whether lists choose pictures: others are then left out on purpose.
    """
    known = {path.resolve() for path in used}
    level = Level.NOTE if listed else Level.PROBLEM
    found: dict[Path, Finding] = {}
    for folder in folders:
        for path in _pictures_in(folder):
            if path.resolve() not in known:
                title = f"{folder}: pictures that no annotation, mask or list names, not used:"
                place = path.relative_to(folder).as_posix()
                problem = Problem("unused_picture", level, title, place)
                found.setdefault(path.resolve(), Finding(problem, (path,)))
    return list(found.values())


def _pictures_in(folder: Path) -> Sequence[Path]:
    try:
        return find_images(folder)
    except UserError:
        return []


def without_told(unused: Iterable[Finding], problems: Iterable[Problem]) -> list[Finding]:
    """Those of which no reader has said already why they are left out.

    Readers name the picture, by itself or with its folder, or its XML file, and then say why.
    """
    told = {
        text[:end]
        for problem in problems
        for text in (problem.title, problem.place)
        for end in _ends_of_words(text)
    }
    kept: list[Finding] = []
    for finding in unused:
        name = finding.problem.place
        names = {name, f"{stem_of(name)}.xml", *map(str, finding.pictures)}
        if not names & told:
            kept.append(finding)
    return kept


def _ends_of_words(text: str) -> Iterator[int]:
    """Where a file's name that begins a text may end; names may have spaces."""
    yield len(text)
    for found in re.finditer("[: ]", text):
        yield found.start()
