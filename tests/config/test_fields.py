from typing import Annotated, Literal

import pytest
from pydantic import Field

from mnv2_dense.config.fields import NotAllowedError, adapt, allowed, key_schema
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.config.sections import Section


class Sample(Section):
    switch: bool = True
    count: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.5
    choice: Literal["32", "16"] = "32"
    stride: Literal[8, 16] = 8
    devices: int | Literal["auto"] = "auto"
    text: str = ""
    triple: tuple[float, float, float] = (0.0, 0.0, 0.0)
    many: tuple[int, ...] | None = ()
    some: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    code: Annotated[str, Field(pattern="^[a-z]+$")] = "a"
    place: Literal["here"] | Annotated[str, Field(pattern="^at/.+$", description="at/NAME")] = (
        "here"
    )
    """Where it is; this is documentation and describes no value."""


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("switch", "true or false"),
        ("count", "a whole number of at least 1 or null"),
        ("share", "a number from 0 to 1"),
        ("decay", "a number above 0 and below 1"),
        ("choice", "one of 32, 16"),
        ("devices", "a whole number or auto"),
        ("text", "text"),
        ("triple", "a list of 3 values, each a number"),
        ("many", "a list of values, each a whole number or null"),
        ("some", "a list of 1 or more values, each a whole number"),
        ("code", "text that matches ^[a-z]+$"),
        ("place", "here or at/NAME"),
    ],
)
def test_allowed_in_words(key: str, words: str) -> None:
    assert allowed(key_schema(Sample, key)) == words


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", "24", 24),
        ("share", "1e-3", 0.001),
        ("stride", "16", 16),
        ("choice", 32, "32"),
        ("text", 7, "7"),
        ("devices", 2, 2),
        ("devices", "auto", "auto"),
        ("triple", ["1", 2, 3.5], [1, 2, 3.5]),
        ("many", (1, 2), [1, 2]),
        ("count", None, None),
        ("switch", False, False),
    ],
)
def test_adapted_values(key: str, value: object, expected: object) -> None:
    result = adapt(value, key_schema(Sample, key))
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", True),
        ("share", False),
        ("text", True),
        ("devices", True),
        ("triple", [True, 1, 2]),
        ("switch", 1),
        ("count", "many"),
        ("count", [1]),
    ],
)
def test_refused_kinds(key: str, value: object) -> None:
    with pytest.raises(NotAllowedError):
        adapt(value, key_schema(Sample, key))


def test_every_key_of_the_config_can_be_put_in_words() -> None:
    for name, field in DetectionConfig.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            assert all(allowed(key_schema(section, key)) for key in section.model_fields), name
