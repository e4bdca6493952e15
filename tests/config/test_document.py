import contextlib
import os
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.config.document import DocumentError, read_document, read_scalar, write_value

NUMBERS = st.integers(-(10**18) + 1, 10**18 - 1) | st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        ("-1.5E+3", -1500.0),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("+5", 5),
        ("0", 0),
        ("true", True),
        ("null", None),
        ("", None),
        # texts, where YAML 1.1 takes them for 8, 90, 1000, false and a date
        ("010", "010"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("no", "no"),
        ("2020-01-01", "2020-01-01"),
        ("1e", "1e"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)
    assert read_document(f"key: {text}\n").values == {"key": value}


def test_lines_of_keys_count_from_one() -> None:
    document = read_document("# header\na: 1\n\nb:\n  c: 2\n")
    assert document.values == {"a": 1, "b": {"c": 2}}
    assert document.lines == {("a",): 2, ("b",): 4, ("b", "c"): 5}


def test_every_duplicate_key_is_named_with_both_lines() -> None:
    errors = read_document("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n").errors
    assert [(error.line, error.text) for error in errors] == [
        (4, "b.c is given twice, first on line 3; keep one"),
        (5, "a is given twice, first on line 1; keep one"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: &x [1]\nb: *x\n", 1, "anchors and aliases"),
        ("b: *x\n", 1, "anchors and aliases"),
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: 1\n---\nb: 1\n", 2, "more than one YAML document"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "tags"),
        ("a: !!int x\n", 1, "tags"),
        ("a: b: c\n", 1, "not YAML"),
        ('a: "open\n', 2, "not YAML"),
        ('a: "\x01"\n', None, "not YAML"),
        ("[" * 5000, 1, "nested more than 20 deep"),
        ("{a: " * 25, 1, "nested more than 20 deep"),
        ("- " * 25, 1, "nested more than 20 deep"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(25)), 21, "nested more than 20 deep"),
        (f"a: {'1' * 5000}\n", 1, "a number of 5000 digits, more than 18; quote it"),
        ("a: -1000000000000000000\n", 1, "a number of 19 digits"),
        ("- a\n" * 20_001, 20_001, "more than 20,000 keys and values"),
        ("".join(f"k{number}: 1\n" for number in range(2001)), 2001, "more than 2,000 keys"),
        ("a: 1\n" * 2001, 2001, "more than 2,000 keys"),
        (f"%YAML {'1' * 5000}.1\n---\na: 1\n", None, "a version or a"),
        ('a: "\\UFFFFFFFF"\n', None, "a version or a"),
        ('a: "\\U00110000"\n', None, "a version or a"),
        ('a: "x\\0"\n', 1, r"a character that no text can hold in x\\x00"),
        ('\na: ["\\ud800"]\n', 2, r"a character that no text can hold in \\ud800"),
    ],
)
def test_refused_texts(text: str, line: int | None, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        read_document(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        f"&{'a' * 90_000} x",
        f"!<{'a' * 90_000}> x",
        f"{{{'a' * 90_000}: 1, {'a' * 90_000}: 2}}",
        f"%TAG !{'a' * 40_000}! b\n%TAG !{'a' * 40_000}! b\n",
        '{"\\e[2J": 1, "\\e[2J": 2}',
    ],
)
def test_reasons_are_short_and_printable(text: str) -> None:
    try:
        reasons = [error.text for error in read_document(text).errors]
    except DocumentError as error:
        reasons = [error.text]
    assert all(reason.isprintable() and len(reason) < 300 for reason in reasons)
    assert reasons


def test_bytes_that_are_no_utf_8_can_be_in_a_file_name() -> None:
    name = os.fsdecode(b"\xff")
    assert read_document(f"a: {write_value(name)}").values == {"a": name}


def test_keys_that_are_no_words_are_refused() -> None:
    document = read_document("[a, b]: 1\n<<: {c: 2}\nd: 3\n")
    assert [error.line for error in document.errors] == [1, 2]
    assert document.values == {"d": 3}


@given(SCALARS | st.lists(SCALARS, max_size=4))
def test_written_values_read_back_under_both_yamls(value: Any) -> None:
    text = write_value(value)
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}\n") == {"key": value}
    assert read_document(f"key: {text}\n").values == {"key": value}


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(DocumentError):
        read_document(text)
