"""The links of Markdown pages, and the headings that they may name."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.commands.tiny import ROOT

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "node_modules" not in path.parts),
]
LINK = re.compile(r"\[([^\]]*)\]\(([^()\s]+)\)")
CODE = re.compile(r"`[^`]*`")
OURS = re.compile(r"`((?:configs|docs|mnv2_dense|tests|tools)/[\w./-]+)`")
WRITTEN = ("docs/api",)
"""What commands write, and a checkout has not."""


class Link(NamedTuple):
    """A link or a picture: the page, `export.md:12`, its text and where it leads."""

    page: Path
    place: str
    text: str
    target: str


def read_links(path: Path) -> list[Link]:
    """The links and pictures of a page that lead to files, without those in code."""
    return [
        Link(path, f"{path.name}:{number}", text, target)
        for number, line in read_prose(path)
        for text, target in LINK.findall(CODE.sub("code", line))
        if not re.match(r"\w+:", target)
    ]


def read_paths(path: Path) -> list[Link]:
    """The files and folders of the repository that a page's sentences name as code.

    Footnotes are left out: they name the sources of others.
    """
    return [
        Link(path, f"{path.name}:{number}", name, name)
        for number, line in read_prose(path)
        for name in OURS.findall("" if line.startswith("[^") else line)
        if name not in WRITTEN
    ]


def find_target(link: Link) -> tuple[Path, str]:
    """The file that a link names, and the heading in it or nothing."""
    name, _, anchor = link.target.partition("#")
    return ((link.page.parent / name).resolve() if name else link.page), anchor


def anchors_of(path: Path) -> set[str]:
    """What GitHub calls the headings of a page: words in small letters, joined by `-`."""
    anchors: set[str] = set()
    seen: Counter[str] = Counter()
    for _, line in read_prose(path):
        heading = re.fullmatch(r"#+ (.*)", line)
        if heading:
            words = re.sub(r"[^\w\- ]", "", LINK.sub(r"\1", heading[1]).lower())
            name = words.strip().replace(" ", "-")
            anchors.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
    return anchors


def read_prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page outside of its fenced blocks, counted from 1."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line
