"""YOLO's data.yaml: the classes of a data set, and where its pictures are."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import yaml

from mnv2_dense.errors import UserError
from mnv2_dense.formats.class_names import check_class_names
from mnv2_dense.ops.texts import list_first
from mnv2_dense.quoting import LONGEST_PATH, quote
from mnv2_dense.small_files import read_start

MAX_BYTES = 1 << 19
MAX_DEPTH = 20
"""Lists and mappings inside each other."""
MAX_VALUES = 30_000
"""Keys and values: room for numbers and names of fourteen thousand classes."""
_LONGEST_REASON = 300
SUFFIXES = (".yaml", ".yml")
SPLITS = {"train": ("train",), "val": ("val", "valid", "validation")}
"""Keys of the splits."""


class DataYaml(NamedTuple):
    """What a data.yaml says.

    Attributes:
        file: The file.
        names: The classes; a label is a position in it.
        places: Folders or lists of pictures of `train` and `val`, as the file has them.
        path: The folder that they are relative to, as the file has it; perhaps empty.
    """

    file: Path
    names: tuple[str, ...]
    places: dict[str, list[str]]
    path: str


def find_yaml(root: Path) -> Path | None:
    """The data.yaml of a folder, under that name or another; None if there is none.

    Raises:
        UserError: There are several that could be it.
    """
    files = sorted(path for path in root.glob("*") if path.suffix.lower() in SUFFIXES)
    named = [path for path in files if path.stem == "data"]
    named = named or [path for path in files if _has_names(path)]
    if len(named) > 1:
        found = list_first([path.name for path in named])
        raise UserError(
            f"{root}: several files could be its data.yaml ({found}); name one: data.root"
        )
    return named[0] if named else None


def read_yaml(file: Path) -> DataYaml:
    """Reads a data.yaml.

    Every value is taken as the text that it is: a class may be called `no` or `1`.

    Raises:
        UserError: It is no YAML, uses aliases, has a key twice, or lacks the names of the classes,
            or they do not agree with `nc`.
    """
    content = _load(file)
    if content.get("kpt_shape"):
        raise UserError(f"{file}: a data set of key points (kpt_shape), not of boxes")
    names = _names(content, file)
    count = content.get("nc", str(len(names)))
    if count != str(len(names)):
        raise UserError(f"{file}: nc is {quote(str(count))}, but names has {len(names)} classes")
    places = {
        split: _texts(content[key], key, file)
        for split, keys in SPLITS.items()
        for key in keys
        if _given(content.get(key))
    }
    path = content.get("path")
    if path is not None and not isinstance(path, str):
        raise UserError(f"{file}: path is no text")
    return DataYaml(file, names, places, path if path and _given(path) else "")


class _Loader(yaml.BaseLoader):
    """Only texts, lists and mappings, not too many; no aliases and no key twice."""

    depth = 0
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1
            raise yaml.YAMLError(f"an alias (*) on line {line}; write the value out")
        self.depth += 1
        self.values += 1
        if self.depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise yaml.YAMLError(f"nested too deeply, or more than {MAX_VALUES:,} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key in counts if counts[key] > 1]
        if twice:
            raise yaml.YAMLError(f"{list_first(twice)} is given twice; keep one")
        return super().construct_mapping(node, deep=deep)


def _load(file: Path) -> dict[str, object]:
    try:
        text = read_start(file, MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UserError(f"{file}: larger than {MAX_BYTES >> 10} KiB, which no data.yaml is")
        content = yaml.load(text.decode("utf-8-sig"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    # ValueError and OverflowError: PyYAML's own, of %YAML 1000... and "\UFFFFFFFF".
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = quote(" ".join(str(error).split()), _LONGEST_REASON)
        raise UserError(f"{file}: cannot be read as YAML ({reason})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: no data.yaml of YOLO (it has no keys)")
    return content


def _has_names(file: Path) -> bool:
    try:
        return "names" in _load(file)
    except UserError:
        return False


def _given(value: object) -> bool:
    return value not in (None, "", "null", "~", [])


def _names(content: dict[str, object], file: Path) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, dict):
        numbers = [str(number) for number in range(len(names))]
        if set(names) != set(numbers):
            raise UserError(f"{file}: names must be numbered from 0 without gaps")
        names = [names[number] for number in numbers]
    if not _given(names):
        raise UserError(f"{file}: no names of classes (key 'names')")
    if not isinstance(names, list):
        raise UserError(f"{file}: names must be a list of classes, or a number and a name each")
    found = tuple(_texts(names, "names", file))
    check_class_names(found, file)
    return found


def _texts(value: object, key: str, file: Path) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and text for text in texts):
        raise UserError(f"{file}: {key} must be a text, or a list of texts")
    if not all(len(text) <= LONGEST_PATH and "\0" not in text for text in map(str, texts)):
        raise UserError(
            f"{file}: {key} has a NUL in it, or a text of more than {LONGEST_PATH} characters"
        )
    return [str(text) for text in texts]
