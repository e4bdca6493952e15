"""Numbers in text files."""


def parse_number(text: str) -> float:
    """The number, perhaps not finite.

    Raises:
        ValueError: It is none. Python's own underscores (1_0) are in no format.
    """
    if "_" in text:
        raise ValueError(f"no number: {text}")
    return float(text)
