import math

import pytest

from mnv2_dense.formats.numbers import parse_number


@pytest.mark.parametrize("text", ["1_0", "0_5", "1.0_0", "1e1_0", "", "x"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|float"):
        parse_number(text)


def test_numbers() -> None:
    assert [parse_number(text) for text in (" 1 ", "-.5", "1e-3")] == [1, -0.5, 0.001]
    assert math.isnan(parse_number("nan"))
    assert parse_number("infinity") == math.inf
