"""What a document tells its reader to type."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.commands.tiny import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("", "bash", "sh", "console", "shell")
"""Languages of blocks that hold commands; a block without one may be what a program prints."""
TOOL = re.compile(r"(?:\S*/)?tools/(\w+)\.py")
PROGRAMS = ("python", "mnv2-dense", "torchrun", "srun", "sbatch", "make", "pip", "bash", "sh")
SHELL_WORDS = ("cd", "export", "git", "if", "mkdir", "source")
STAND_INS = {"...": "", "CONFIG": "my.yaml"}
"""Of words that are not typed as they are."""


class Line(NamedTuple):
    """A line of a document: `export.md:12`, and its text."""

    place: str
    text: str


class Call(NamedTuple):
    """A call of one of our commands: its name, and the words after it."""

    name: str
    words: list[str]


def read_blocks(path: Path) -> Iterator[tuple[str, list[Line]]]:
    """The fenced blocks of a document: their language, and their lines."""
    language: str | None = None
    lines: list[Line] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if text.lstrip().startswith("```"):
            if language is not None:
                yield language, lines
            language = text.strip().removeprefix("```") if language is None else None
            lines = []
        elif language is not None:
            lines.append(Line(f"{path.name}:{number}", text))


def join(lines: Sequence[Line]) -> list[Line]:
    """Each command in one line, where `\\` continues it in the next."""
    joined: list[Line] = []
    for place, text in lines:
        if joined and joined[-1].text.endswith("\\"):
            first = joined.pop()
            joined.append(Line(first.place, first.text.removesuffix("\\") + text.strip()))
        else:
            joined.append(Line(place, text))
    return joined


def read_commands(path: Path) -> list[Line]:
    """The lines of a document that are typed into a shell.

    Raises:
        AssertionError: A line of a shell's block begins with no program that is known here, or a
            line names one of our commands in another way.
    """
    commands = []
    for language, lines in read_blocks(path):
        for place, text in join(lines) if language in SHELL else []:
            line = Line(place, text.removeprefix("$ "))
            first = line.text.split()[:1] or ["#"]
            if first[0].startswith("#"):
                continue
            if is_program(first[0]):
                commands.append(line)
            else:
                assert not language, f"{place}: {first[0]} is no program that this test knows"
                assert not re.search(r"tools/\w+\.py|mnv2-dense \w", text), f"{place}: {text}"
    return commands


def is_program(word: str) -> bool:
    return Path(word).name in (*PROGRAMS, *SHELL_WORDS) or bool(TOOL.fullmatch(word))


def read_words(text: str) -> list[str]:
    """The words of a line, without comments and the signs of what may be left out or repeated."""
    words = shlex.split(re.sub(r"\$\w+", "1", text), comments=True)
    return [word for word in map(plain, words) if word]


def plain(word: str) -> str:
    """`[--out`, `FILE]` and `...` without brackets and dots; `scales=[0.5,1.0]` as it is."""
    if word.strip("[]") in STAND_INS:
        return STAND_INS[word.strip("[]")]
    closing = word.endswith("]") and "[" not in word.lstrip("[")
    return word.lstrip("[").rstrip("]") if closing else word.lstrip("[")


def read_calls(text: str) -> list[Call]:
    """The calls of our commands in a line: one for each of the alternatives of `onnx|openvino`."""
    words = read_words(text)
    for at, word in enumerate(words):
        call = read_call(words[at:])
        if call is not None:
            return [Call(call.name, each) for each in alternatives(call.words)]
        if " " in word and TOOL.search(word):  # sbatch --wrap "..."
            return read_calls(word)
    return []


def read_call(words: Sequence[str]) -> Call | None:
    """The call that begins with the first word, if that is one of ours."""
    tool = TOOL.fullmatch(words[0])
    if tool:
        return Call(tool[1], [*words[1:]])
    ours = Path(words[0]).name == "mnv2-dense" or words[0] == "mnv2_dense"
    return Call(words[1], [*words[2:]]) if ours and len(words) > 1 else None


def alternatives(words: Sequence[str]) -> list[list[str]]:
    for at, word in enumerate(words):
        if re.fullmatch(r"\w+(\|\w+)+", word):
            return [[*words[:at], each, *words[at + 1 :]] for each in word.split("|")]
    return [[*words]]


def read_mentions(path: Path) -> list[Line]:
    """The commands in a document's sentences, often without all that they need."""
    mentions: list[Line] = []
    fenced = False
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fenced ^= text.lstrip().startswith("```")
        for span in re.findall(r"`([^`]+)`", "" if fenced else text):
            if re.match(rf"(python )?({TOOL.pattern}|mnv2-dense \w)", span):
                mentions.append(Line(f"{path.name}:{number}", span))
    return mentions


def read_texts(path: Path, language: str) -> list[Line]:
    """The blocks of another language, each as a whole."""
    return [
        Line(lines[0].place, "\n".join(line.text for line in lines))
        for found, lines in read_blocks(path)
        if found == language and lines
    ]
