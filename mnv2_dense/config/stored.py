"""Configs that come as objects, as out of a stranger's checkpoint."""

from collections.abc import Mapping
from typing import Any

from mnv2_dense.config.document import MAX_DEPTH, MAX_DIGITS, MAX_KEYS, MAX_VALUES
from mnv2_dense.errors import UserError

_PLAIN = (type(None), bool, int, float, str)


def copy_mapping(mapping: Mapping[str, object], name: str) -> dict[str, Any]:
    """Returns a copy of plain values alone, tuples as lists, no larger than a file can hold.

    Args:
        mapping: Sections, keys and values.
        name: Where it comes from, for messages.

    Raises:
        UserError: It holds something else, whole numbers beyond 64 bits, itself, or too much.
    """
    return _Copier(name).copy_mapping(mapping, 0)


class _Copier:
    def __init__(self, name: str) -> None:
        self._name = name
        self._values = 0
        self._keys = 0

    def copy_mapping(self, mapping: Mapping[str, object], depth: int) -> dict[str, Any]:
        self._keys += len(mapping)
        if self._keys > MAX_KEYS:
            raise UserError(f"{self._name}: more than {MAX_KEYS:,} keys, so not a config")
        if not all(isinstance(key, str) for key in mapping):
            raise UserError(f"{self._name}: not a config, as some keys are no texts")
        return {str(key): self._copy(value, depth) for key, value in mapping.items()}

    def _copy(self, value: object, depth: int) -> object:
        self._values += 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            raise UserError(
                f"{self._name}: more than {MAX_VALUES:,} values, or nested more than {MAX_DEPTH} "
                "deep, so not a config"
            )
        if isinstance(value, Mapping):
            return self.copy_mapping(value, depth + 1)
        if isinstance(value, (list, tuple)):
            return [self._copy(item, depth + 1) for item in value]
        self._check_plain(value)
        return value

    def _check_plain(self, value: object) -> None:
        if not isinstance(value, _PLAIN):
            raise UserError(f"{self._name}: not a config, as it holds {type(value).__name__}")
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            raise UserError(
                f"{self._name}: not a config, as it holds a number of more than {MAX_DIGITS} digits"
            )
