"""Texts of strangers in messages."""

LONGEST = 60
LONGEST_PATH = 1024


def quote(text: str, longest: int = LONGEST) -> str:
    """Returns a text that prints on one line: cut where it is long, escaped where it is no print.

    Control characters could clear the terminal, begin a line of their own, or turn the direction
    of what follows.
    """
    cut = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut
    )
