"""`key.path=value` arguments, checked against the keys that a config has."""

from mnv2_dense.config.document import DocumentError, KeyPath, read_document, read_scalar
from mnv2_dense.config.fields import sections, unknown_key
from mnv2_dense.config.sections import Section
from mnv2_dense.quoting import quote

MAX_CHARACTERS = 10_000


class OverrideError(ValueError):
    """What is wrong with one override."""


def split_override(text: str) -> tuple[KeyPath, str]:
    """Returns the path and the value's text of an override.

    Raises:
        OverrideError: It is not of the form `key.path=value`, or is no override for its length.
    """
    if len(text) > MAX_CHARACTERS:
        raise OverrideError(f"longer than {MAX_CHARACTERS:,} characters")
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals:
        raise OverrideError("no `=`; write key.path=value, as in training.epochs=10")
    if not all(keys):
        raise OverrideError("the key is not complete; write key.path=value")
    return keys, value.strip()


def check_path(model: type[Section], path: KeyPath) -> None:
    """Raises `OverrideError` unless `path` leads to a key of `model` that holds a value."""
    section = model
    for depth, key in enumerate(path):
        if key not in section.model_fields:
            raise OverrideError(unknown_key(model, path[: depth + 1]))
        nested = sections(section).get(key)
        if nested is None:
            _check_end(path, depth)
            return
        section = nested
    keys = ", ".join(section.model_fields)
    raise OverrideError(f"{'.'.join(path)} is a section; set one of its keys: {keys}")


def _check_end(path: KeyPath, depth: int) -> None:
    if depth + 1 < len(path):
        name = ".".join(path[: depth + 1])
        below = quote(".".join(path))
        raise OverrideError(f"{name} holds a value, so {below} cannot exist; set {name}=")


def read_value(text: str) -> object:
    """Returns the value of an override: a number, true, false, null, a list or a text.

    Text needs no quotes, whatever signs it holds, unless it begins like a list or a quote.

    Raises:
        OverrideError: A list or a quoted text is not complete.
    """
    try:
        if text.startswith(("[", "{", "'", '"')):
            return read_document(text).values
        return read_scalar(text)
    except DocumentError as error:
        raise OverrideError(error.text) from None
