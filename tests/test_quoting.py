import pytest

from mnv2_dense.quoting import LONGEST, quote


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("data.root", "data.root"),
        ("naïve 猫 😀", "naïve 猫 😀"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x9b\0", r"\x1b[2J\x9b\x00"),
        ("\u202egpj.exe\u2028", r"\u202egpj.exe\u2028"),
        ("\ud800", r"\ud800"),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * 10**6, "x" * (LONGEST - 3) + "..."),
    ],
)
def test_texts_print_on_one_line(text: str, shown: str) -> None:
    assert quote(text) == shown
    assert shown.isprintable()


def test_another_length() -> None:
    assert quote("abcdefgh", 6) == "abc..."
