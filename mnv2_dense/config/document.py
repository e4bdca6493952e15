"""YAML text as plain values, and where in the text each of them stands.

YAML 1.1, which PyYAML reads, makes `1e-3` a text, `010` the number 8, `no` false and `1:30`
the number 90. Here scalars follow YAML 1.2: none of these surprises. Aliases, anchors, tags,
merge keys and duplicate keys are refused, and whatever is larger than a config.
"""

import os
import re
from typing import NamedTuple

import yaml

from mnv2_dense.quoting import quote

KeyPath = tuple[str, ...]

MAX_DEPTH = 20
"""Lists and mappings inside each other."""
MAX_KEYS = 2_000
"""Ten times as many as a config can have."""
MAX_VALUES = 20_000
"""Keys and values: room for ten thousand names of classes."""
MAX_DIGITS = 18
"""Of a whole number: all of these fit 64 bits."""
_LONGEST_REASON = 200

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+0123456789."),
    ),
)


class DocumentError(ValueError):
    """What is wrong with a YAML text, and the line it stands on (from 1) where known."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.line = line


class Document(NamedTuple):
    """A YAML text's values, the line of every key, and every refused key as an error."""

    values: object
    lines: dict[KeyPath, int]
    errors: list[DocumentError]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 scalars and without anchors, aliases and tags."""

    depth = 0
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        reason = self._refusal(event)
        if reason:
            raise DocumentError(reason, event.start_mark.line + 1)
        self.depth += 1
        self.values += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refusal(self, event: yaml.Event) -> str | None:
        if getattr(event, "anchor", None) is not None:
            name = quote(event.anchor)
            return f"anchors and aliases (&{name}, *{name}) are not allowed; write the value out"
        if getattr(event, "tag", None) is not None:
            return f"tags ({quote(event.tag)}) are not allowed; write the plain value"
        if self.values > MAX_VALUES:
            return f"more than {MAX_VALUES:,} keys and values, so not a config"
        # Not left to Python's own limit: how much of that is free depends on the caller.
        return f"nested more than {MAX_DEPTH} deep" if self.depth > MAX_DEPTH else None


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper that also quotes the texts which YAML 1.2 takes for numbers."""


_no_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
_Loader.yaml_implicit_resolvers = _no_resolvers
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_PREFIX + _name, _pattern, _first)
_Dumper.add_implicit_resolver(_PREFIX + "float", *_SCALARS[-1][1:])


def read_document(text: str) -> Document:
    """Returns the values of one YAML document.

    Raises:
        DocumentError: The text is not YAML, or uses a refused feature.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise DocumentError("a tab in the indentation; YAML indents with spaces", number)
    try:
        node = _Loader(text).get_single_node()
        document = Document(None, {}, [])
        return document._replace(values=None if node is None else _value(node, (), document))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(_reason(error), mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise DocumentError(f"not YAML: {str(error).splitlines()[0]}") from None
    except DocumentError:
        raise
    except (ValueError, OverflowError):  # PyYAML's own, of %YAML 1000... and "\UFFFFFFFF".
        raise DocumentError("not YAML: a version or a \\U escape that is too large") from None


def read_scalar(text: str) -> object:
    """Returns what an unquoted YAML scalar stands for: null, a bool, a number or the text.

    Raises:
        DocumentError: A number too long to be one.
    """
    tag = _Loader("").resolve(yaml.ScalarNode, text, (True, False))
    return _scalar(yaml.ScalarNode(tag, text))


def write_value(value: object) -> str:
    """Returns a value on one line of YAML, readable by YAML 1.1 and 1.2 alike."""
    text = _dump(value, allow_unicode=True)
    # PyYAML writes some line breaks of Unicode as they are, and reads them back as spaces.
    return text if text.isprintable() else _dump(value, allow_unicode=False)


def _dump(value: object, *, allow_unicode: bool) -> str:
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=2**31, allow_unicode=allow_unicode
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _reason(error: yaml.MarkedYAMLError) -> str:
    reason = error.problem or "cannot be read"
    if "expected a single document" in str(error):
        return "more than one YAML document; keep one and remove the `---` between them"
    return f"not YAML: {quote(reason, _LONGEST_REASON)}"


def _value(node: yaml.Node, path: KeyPath, document: Document) -> object:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path, document) for item in node.value]
    _check_text(node)
    return _scalar(node)


def _check_text(node: yaml.Node) -> None:
    """Refuses what can be in no file name; bytes that are no UTF-8 can be (`os.fsdecode`)."""
    try:
        sound = b"\0" not in os.fsencode(node.value)
    except UnicodeEncodeError:
        sound = False
    if not sound:
        text = f"a character that no text can hold in {quote(node.value)}"
        raise DocumentError(text, node.start_mark.line + 1)


def _mapping(node: yaml.MappingNode, path: KeyPath, document: Document) -> dict[str, object]:
    values: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if len(document.lines) + len(document.errors) >= MAX_KEYS:
            raise DocumentError(f"more than {MAX_KEYS:,} keys, so not a config", line)
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str) or key == "<<":
            document.errors.append(DocumentError("a key must be a plain word", line))
            continue
        key_path = (*path, key)
        if key in values:
            first = document.lines[key_path]
            text = f"{quote('.'.join(key_path))} is given twice, first on line {first}; keep one"
            document.errors.append(DocumentError(text, line))
            continue
        document.lines[key_path] = line
        values[key] = _value(value_node, key_path, document)
    return values


def _scalar(node: yaml.Node) -> object:
    text = str(node.value)
    match node.tag.removeprefix(_PREFIX):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return _whole_number(text, node)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


def _whole_number(text: str, node: yaml.Node) -> int:
    digits = len(text.lstrip("+-"))
    if digits > MAX_DIGITS:
        line = node.start_mark.line + 1 if node.start_mark else None
        reason = f"a number of {digits} digits, more than {MAX_DIGITS}; quote it to make it text"
        raise DocumentError(reason, line)
    return int(text)
