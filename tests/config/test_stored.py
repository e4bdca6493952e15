from typing import Any

import pytest

from mnv2_dense.config.stored import copy_mapping
from mnv2_dense.errors import UserError


def endless() -> dict[str, Any]:
    values: dict[str, Any] = {}
    values["a"] = [values]
    return values


def test_the_copy_is_its_own() -> None:
    given = {"a": {"b": (1, 2.5, None)}, "c": ["x", True]}
    copied = copy_mapping(given, "last.ckpt")
    assert copied == {"a": {"b": [1, 2.5, None]}, "c": ["x", True]}
    copied["a"]["b"].append(3)
    assert given["a"] == {"b": (1, 2.5, None)}


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        (endless(), "nested more than 20 deep"),
        ({"a": [0] * 20_001}, "more than 20,000 values"),
        ({str(number): 0 for number in range(2001)}, "more than 2,000 keys"),
        ({"a": {1: 2}}, "some keys are no texts"),
        ({"a": [b"x"]}, "it holds bytes"),
        ({"a": 10**5000}, "a number of more than 18 digits"),
        ({"a": 10**18}, "a number of more than 18 digits"),
    ],
)
def test_what_is_no_config(mapping: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=f"^last.ckpt: .*{why}"):
        copy_mapping(mapping, "last.ckpt")
