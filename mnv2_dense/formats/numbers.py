"""Numbers in text files."""

BEYOND = 10**400
"""A whole number outside of every range."""
_MOST_DIGITS = 100


def parse_number(text: str) -> float:
    """The number, perhaps not finite.

    Raises:
        ValueError: It is none. Python's own underscores (1_0) are in no format.
    """
    if "_" in text:
        raise ValueError(f"no number: {text}")
    return float(text)


def parse_whole(digits: str) -> int:
    """The whole number, or `BEYOND` if it has too many digits: Python refuses over 4,300."""
    return int(digits) if len(digits) <= _MOST_DIGITS else BEYOND
