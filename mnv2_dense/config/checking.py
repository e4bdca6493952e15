"""Given values against the schema: the frozen config, or every mistake at once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from mnv2_dense.config.document import KeyPath
from mnv2_dense.config.fields import (
    JsonSchema,
    NotAllowedError,
    adapt,
    allowed,
    key_schema,
    section_at,
    sections,
    takes_text,
    unknown_key,
)
from mnv2_dense.config.sections import Section
from mnv2_dense.errors import UserError
from mnv2_dense.quoting import quote

LISTED = 20
"""How many mistakes a message names before it says only how many more there are."""

ConfigT = TypeVar("ConfigT", bound=Section)


@dataclass
class Given:
    """What the user gave: values, where each comes from, and the mistakes found so far.

    `name` is the file's name, and begins every message; `origins` holds, for a key, the place
    that messages about it name.
    """

    name: str
    values: dict[str, object] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def set(self, path: KeyPath, value: object, origin: str) -> None:
        """Sets one key, opening its sections; a section that is no mapping stays as it is."""
        values = self.values
        for key in path[:-1]:
            if values.get(key) is None:
                values[key] = {}
            nested = values[key]
            if not isinstance(nested, dict):
                return
            values = nested
        values[path[-1]] = value
        self.origins[path] = origin

    def add_error(self, path: KeyPath, text: str) -> None:
        """Notes a mistake at the place that the key, or else its section, comes from."""
        known = (self.origins.get(path[:end]) for end in range(len(path), 0, -1))
        origin = next((place for place in known if place), self.name)
        self.errors.append(f"{origin}: {text}")

    def raise_errors(self) -> None:
        """Raises one `UserError` that holds the mistakes, if there are any."""
        if len(self.errors) == 1:
            error = self.errors[0]
            raise UserError(error if error.startswith(self.name) else f"{self.name}: {error}")
        if self.errors:
            lines = [f"\n  {error}" for error in self.errors[:LISTED]]
            rest = len(self.errors) - len(lines)
            more = f"\n  and {rest} more" if rest else ""
            raise UserError(f"{self.name}: {len(self.errors)} mistakes{''.join(lines)}{more}")


def build(model: type[ConfigT], given: Given) -> ConfigT:
    """Returns the config that `given` stands for; keys not given take their defaults.

    Raises:
        UserError: Something given is not allowed.
    """
    values = _checked(model, given.values, (), given)
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        _add_errors(model, error, given)
        config = None
    given.raise_errors()
    if config is None:
        raise RuntimeError("the schema refused a config without saying why")
    return config


def _checked(
    model: type[Section], values: Mapping[str, object], path: KeyPath, given: Given
) -> dict[str, object]:
    """Returns the values below `path` that the schema knows; notes the others as mistakes."""
    section = section_at(model, path)
    nested = sections(section)
    checked: dict[str, object] = {}
    for name, value in values.items():
        key_path = (*path, str(name))
        if name not in section.model_fields:
            given.add_error(key_path, unknown_key(model, key_path))
        elif name not in nested:
            _check_value(section, value, key_path, checked, given)
        elif isinstance(value, Mapping):
            checked[name] = _checked(model, value, key_path, given)
        elif value is not None:  # a section whose every line is a comment is null
            keys = ", ".join(nested[name].model_fields)
            text = f"{name} is a section, not {_shown(value)}; its keys: {keys}"
            given.add_error(key_path, text)
    return checked


def _check_value(
    section: type[Section],
    value: object,
    path: KeyPath,
    checked: dict[str, object],
    given: Given,
) -> None:
    schema = key_schema(section, path[-1])
    try:
        checked[path[-1]] = adapt(value, schema)
    except NotAllowedError:
        given.add_error(path, _wrong_value(path, value, schema))


def _add_errors(model: type[Section], error: ValidationError, given: Given) -> None:
    """Notes what pydantic refused, once per key: a union or a list gives an error per part."""
    seen: set[KeyPath] = set()
    for details in error.errors():
        section, path = _locate(model, details["loc"])
        if path in seen:
            continue
        seen.add(path)
        if details["type"] == "value_error":
            where = f"{'.'.join(path)}: " if path else ""
            given.add_error(path, f"{where}{details['ctx']['error']}")
            continue
        value = _look_up(given.values, path)
        given.add_error(path, _wrong_value(path, value, key_schema(section, path[-1])))


def _locate(model: type[Section], location: tuple[int | str, ...]) -> tuple[type[Section], KeyPath]:
    """Returns the section and the path of the key that a pydantic location lies in."""
    section, path = model, ()
    for part in location:
        path = (*path, str(part))
        nested = sections(section).get(str(part))
        if nested is None:
            break
        section = nested
    return section, path


def _look_up(values: object, path: KeyPath) -> object:
    for key in path:
        values = values[key] if isinstance(values, Mapping) else None
    return values


def _wrong_value(path: KeyPath, value: object, schema: JsonSchema) -> str:
    text = f"{'.'.join(path)} cannot be {_shown(value)}; allowed: {allowed(schema)}"
    number = isinstance(value, (bool, int, float))
    return f"{text}; quote it to make it text" if number and takes_text(schema) else text


def _shown(value: object) -> str:
    return quote(json.dumps(value, ensure_ascii=False, default=repr))
