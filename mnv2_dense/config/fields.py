"""What a key allows, in words; and a given value in the form the schema takes.

Both read the JSON Schema of the key, so they follow the models by themselves.
"""

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mnv2_dense.config.sections import Section
from mnv2_dense.quoting import quote

JsonSchema = Mapping[str, Any]


class NotAllowedError(ValueError):
    """A value of a kind that its key does not take."""


def sections(model: type[Section]) -> dict[str, type[Section]]:
    """Returns the model of every key of `model` that is a section."""
    found: dict[str, type[Section]] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found[name] = kind
    return found


def section_at(model: type[Section], path: tuple[str, ...]) -> type[Section]:
    """Returns the model of the section at `path`."""
    for key in path:
        model = sections(model)[key]
    return model


def key_schema(section: type[Section], key: str) -> JsonSchema:
    """Returns the JSON Schema of one key that is not a section."""
    return _key_schemas(section)[key]


@cache
def _key_schemas(section: type[Section]) -> Mapping[str, JsonSchema]:
    properties: Mapping[str, JsonSchema] = section.model_json_schema()["properties"]
    return properties


def unknown_key(model: type[Section], path: tuple[str, ...]) -> str:
    """Returns the statement that the config has no key `path`, naming the nearest one."""
    return f"{quote('.'.join(path))} is no known key; {_suggestion(model, path)}"


def _suggestion(model: type[Section], path: tuple[str, ...]) -> str:
    known = list(_paths(model))
    siblings = [other for other in known if other[:-1] == path[:-1]]
    # A near name in the same place first; else the same or a very near name elsewhere.
    for options, cutoff in ((siblings, 0.6), (known, 0.75)):
        names = {other[-1] for other in options}
        near = difflib.get_close_matches(path[-1], names, n=1, cutoff=cutoff)
        if near:
            found = [".".join(other) for other in options if other[-1] == near[0]]
            return f"did you mean {' or '.join(found)}?"
    return f"allowed here: {', '.join(other[-1] for other in siblings)}"


def _paths(model: type[Section], parent: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    nested = sections(model)
    for name in model.model_fields:
        yield (*parent, name)
        if name in nested:
            yield from _paths(nested[name], (*parent, name))


def allowed(schema: JsonSchema) -> str:
    """Returns what a key takes, in words: `a whole number of at least 1 or null`."""
    if "anyOf" in schema:
        # A key's own description is its documentation; that of an option says what it looks like.
        options = (option.get("description") or allowed(option) for option in schema["anyOf"])
        return " or ".join(options)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(str(option) for option in schema["enum"])
    if schema["type"] == "array":
        return _allowed_list(schema)
    words = {
        "null": "null",
        "boolean": "true or false",
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
    }
    return words[schema["type"]] + _bounds(schema)


def _allowed_list(schema: JsonSchema) -> str:
    items = schema.get("prefixItems")
    if items:
        return f"a list of {len(items)} values, each {allowed(items[0])}"
    least = f"{schema['minItems']} or more " if "minItems" in schema else ""
    return f"a list of {least}values, each {allowed(schema['items'])}"


def _bounds(schema: JsonSchema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:.10g} to {schema['maximum']:.10g}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    if "pattern" in schema:
        limits.append(f"that matches {schema['pattern']}")
    return f" {' and '.join(limits)}" if limits else ""


def takes_text(schema: JsonSchema) -> bool:
    """Returns whether a key takes any text, not only certain words."""
    options = schema.get("anyOf", [schema])
    return any(o.get("type") == "string" and not {"const", "enum"} & set(o) for o in options)


def adapt(value: object, schema: JsonSchema) -> object:
    """Returns `value` in the form the key takes: a numeric text as number, and the reverse.

    Raises:
        NotAllowedError: True or false where a number or text is asked for, or a number where
            true or false is. Pydantic would take one for the other without a word.
    """
    kinds = _kinds(schema)
    if isinstance(value, (list, tuple)):
        return [adapt(item, schema_of) for item, schema_of in _items(list(value), schema)]
    if isinstance(value, bool):
        if "boolean" not in kinds:
            raise NotAllowedError
    elif isinstance(value, (int, float)):
        if "boolean" in kinds:
            raise NotAllowedError
        if isinstance(value, int) and not kinds & {"integer", "number"}:
            return str(value)
    elif isinstance(value, str) and "string" not in kinds and kinds & {"integer", "number"}:
        return _number(value)
    return value


def _kinds(schema: JsonSchema) -> set[str]:
    options = schema.get("anyOf", [schema])
    return {str(option["type"]) for option in options if "type" in option}


def _items(values: list[object], schema: JsonSchema) -> Iterator[tuple[object, JsonSchema]]:
    for option in schema.get("anyOf", [schema]):
        if option.get("type") == "array":
            kinds = option.get("prefixItems") or [option["items"]]
            for index, value in enumerate(values):
                yield value, kinds[min(index, len(kinds) - 1)]
            return
    raise NotAllowedError


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise NotAllowedError
