"""Config files and `key.path=value` overrides to a checked, frozen config, and back.

Every mistake is found before any is reported: one `UserError` lists them, each with the line of
the file or the override it stands in.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from mnv2_dense.config.checking import ConfigT, Given, build
from mnv2_dense.config.document import DocumentError, read_document, write_value
from mnv2_dense.config.documentation import describe, key_texts
from mnv2_dense.config.fields import sections
from mnv2_dense.config.overrides import OverrideError, check_path, read_value, split_override
from mnv2_dense.config.schema import (
    RUNS,
    AnyConfig,
    Config,
    DetectionConfig,
    JointConfig,
    SegmentationConfig,
)
from mnv2_dense.config.sections import Section
from mnv2_dense.config.stored import copy_mapping
from mnv2_dense.errors import UserError
from mnv2_dense.quoting import quote
from mnv2_dense.small_files import read_start

MAX_FILE_BYTES = 100_000
CONFIG_SUFFIXES = (".yaml", ".yml")


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Returns the config of a YAML file, with overrides of the form `key.path=value`.

    Of two overrides of one key the later holds.

    Raises:
        UserError: The file cannot be read, it is of a joint network, or a key or value is not
            allowed. The message begins with the file's name and names every mistake.
    """
    return _of_one_column(load_any_config(path, overrides), str(path))


def load_any_config(path: Path, overrides: Sequence[str] = ()) -> AnyConfig:
    """The same where a joint network's config will do, too."""
    return _with_overrides(_read(path), overrides)


def _of_one_column(config: AnyConfig, name: str) -> Config:
    if isinstance(config, JointConfig):
        raise UserError(
            f"{name}: of task joint, and this takes a detector or a segmenter alone; joint "
            "networks are for train, evaluate, predict, summary and `benchmark joint`"
        )
    return config


def check_file(source: Path, overrides: Sequence[str]) -> None:
    """Refuses a config file with mistakes before torch is imported, which takes seconds.

    A source that is no config file, as a checkpoint, is left to the one who opens it.

    Raises:
        UserError: See `load_config`.
    """
    if source.suffix in CONFIG_SUFFIXES:
        load_any_config(source, overrides)


def _with_overrides(given: Given, overrides: Sequence[str]) -> AnyConfig:
    # The task says which keys exist, so it is settled before any other key is looked at.
    tasks = [text.partition("=")[2] for text in overrides if text.startswith("task=")]
    model = _model(given, tasks[-1] if tasks else given.values.get("task", "detection"))
    return _override(model, given, overrides)


def _override(model: type[ConfigT], given: Given, overrides: Sequence[str]) -> ConfigT:
    for number, text in enumerate(overrides, start=1):
        origin = f"override {number} ({quote(text)})"
        try:
            keys, value = split_override(text)
            check_path(model, keys)
            given.set(keys, read_value(value), origin)
        except OverrideError as error:
            given.errors.append(f"{origin}: {error}")
    return build(model, given)


def parse_config(
    mapping: Mapping[str, object], overrides: Sequence[str] = (), *, name: str = "stored config"
) -> Config:
    """Returns the config that a mapping holds, as a checkpoint stores it.

    Args:
        mapping: Sections and their keys; keys that are missing take their defaults.
        overrides: Changes of the form `key.path=value`.
        name: Where it comes from, for messages.

    Raises:
        UserError: A key or value is not allowed, or it is of a joint network.
    """
    return _of_one_column(parse_any_config(mapping, overrides, name=name), name)


def parse_any_config(
    mapping: Mapping[str, object], overrides: Sequence[str] = (), *, name: str = "stored config"
) -> AnyConfig:
    """The same where a joint network's config will do, too."""
    if not isinstance(mapping, Mapping):
        raise UserError(f"{name}: not a config, but {type(mapping).__name__}")
    return _with_overrides(Given(name, copy_mapping(mapping, name)), overrides)


def parse_overrides(model: type[ConfigT], overrides: Sequence[str], *, name: str) -> ConfigT:
    """Returns the config of a model that is no task's: its defaults, changed by overrides.

    Args:
        model: What may be said.
        overrides: Changes of the form `key.path=value`.
        name: What they are said of, for messages.

    Raises:
        UserError: A key or value is not allowed.
    """
    return _override(model, Given(name), overrides)


def to_yaml(config: Section) -> str:
    """Returns every key of a config as YAML, each under its documentation."""
    return "\n".join(_section_lines(config, "")) + "\n"


def schema_json() -> str:
    """Returns the JSON Schema of a config file, of whatever task."""
    schema = TypeAdapter(AnyConfig).json_schema()
    describe(schema, [*RUNS.values()])
    return json.dumps(schema, indent=2)


def _read(path: Path) -> Given:
    text = _read_text(path)
    try:
        document = read_document(text)
    except DocumentError as error:
        raise UserError(f"{_place(path, error.line)}: {error.text}") from None
    if not isinstance(document.values, dict):
        raise UserError(f"{path}: not a config; it must hold sections of `key: value` lines")
    origins = {keys: _place(path, line) for keys, line in document.lines.items()}
    errors = [f"{_place(path, error.line)}: {error.text}" for error in document.errors]
    return Given(str(path), document.values, origins, errors)


def _read_text(path: Path) -> str:
    try:
        content = read_start(path, MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file") from None
    except OSError as error:
        raise UserError(f"{path}: the config cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UserError(f"{path}: more than {MAX_FILE_BYTES:,} bytes, so not a config file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text in UTF-8, so not a config file") from None


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}:{line}"


def _model(
    given: Given, task: object
) -> type[DetectionConfig] | type[SegmentationConfig] | type[JointConfig]:
    if isinstance(task, str) and task in RUNS:
        return RUNS[task]
    stored = given.values.get("task") == task
    place = (
        given.origins.get(("task",), given.name)
        if stored
        else f"{given.name}: override task={quote(str(task))}"
    )
    raise UserError(f"{place}: task cannot be {quote(repr(task))}; allowed: {', '.join(RUNS)}")


def _section_lines(section: Section, indent: str) -> Iterator[str]:
    values = section.model_dump(mode="json")
    nested, texts = sections(type(section)), key_texts(type(section))
    for name in type(section).model_fields:
        if name in nested:
            yield ""
            yield from _comment(nested[name].__doc__, indent)
            yield f"{indent}{name}:"
            yield from _section_lines(getattr(section, name), indent + "  ")
        else:
            yield from _comment(texts.get(name), indent)
            yield f"{indent}{name}: {write_value(values[name])}"


def _comment(text: str | None, indent: str) -> Iterator[str]:
    for line in inspect.cleandoc(text or "").splitlines():
        yield f"{indent}# {line}".rstrip()
