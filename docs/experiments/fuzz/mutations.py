"""Changes to valid files: of their bytes, and of their values."""

import random
import re
from collections.abc import Sequence
from typing import Any

NUMBERS = (
    *(
        "0",
        "-1",
        "1e999",
        "-1e999",
        "nan",
        "NaN",
        ".nan",
        "inf",
        "Infinity",
        "1e-400",
        "2147483648",
    ),
    *(
        "9223372036854775808",
        "1" * 400,
        "1" * 5000,
        "0x10",
        "010",
        "1_000",
        "1:30",
        "+5",
        "1.",
        ".5",
    ),
)
TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\x1b[2J",
        "a\nb",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\ud800",
        "é" * 300,
        "x" * 300,
    ),
    *("../../etc/passwd", "/etc/passwd", "C:\\x.jpg", "..\\..\\x", "a/../../b", "./a", "~", "null"),
    *("no", "true", "<<", "=", "*x", "&x", "!!python/object/apply:os.system", "/dev/zero"),
    *("x" * 5000, "\U0001f600", "a" + "\u0300" * 200, "%s%n", "{}", "/dev/stdin", "con"),
)
TOKENS = (
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b":",
        b": ",
        b"-",
        b"- ",
        b"? ",
        b"&a ",
        b"*a",
        b"!",
        b"!!int ",
        b"|\n",
    ),
    *(
        b">\n",
        b"%YAML 1.1\n",
        b"---\n",
        b"...\n",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xff",
        b"\xc3",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc2\x85",
        b"'",
        b'"',
        b"\\",
        b"\\U",
    ),
    *(b"\\uD800", b"\\x", b",", b";", b"#", b"=", b"<", b">", b"</", b"/>", b"<!--", b"<![CDATA["),
    *(
        b"<!DOCTYPE a [",
        b"<!ENTITY a 'b'>",
        b"&a;",
        b"&#0;",
        b"&#x10FFFF;",
        b"<?xml",
        b"]]>",
        b"<a>",
    ),
    *(
        b"[" * 2000,
        b"{" * 2000,
        b"<a>" * 2000,
        b"- " * 500,
        b"1" * 5000,
        b"a," * 3000,
        b"k: v\n" * 500,
    ),
)


def mutate_bytes(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A valid file with one to five changes of its bytes.

    Args:
        data: The file.
        others: Files that parts are taken from.
        draw: Where chance comes from.
    """
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5))):
        start = draw.randrange(len(data) + 1)
        stop = min(len(data), start + draw.choice((0, 0, 1, 1, 2, 5, 20, 100)))
        data = data[:start] + _replacement(data, start, stop, others, draw) + data[stop:]
    return data[:-1] if draw.random() < 0.02 else data


def _replacement(
    data: bytes, start: int, stop: int, others: Sequence[bytes], draw: random.Random
) -> bytes:
    kind = draw.randrange(7)
    if kind == 0:
        return bytes(draw.randrange(256) for _ in range(draw.choice((1, 1, 2, 8))))
    if kind == 1:
        return draw.choice(TOKENS)
    if kind == 2:
        return draw.choice(NUMBERS).encode()
    if kind == 3:
        return draw.choice(TEXTS).encode(errors="surrogatepass")
    if kind == 4:
        return data[start:stop] * draw.choice((2, 3, 50))
    if kind == 5:
        other = draw.choice(others)
        begin = draw.randrange(len(other) + 1)
        return other[begin : begin + draw.choice((5, 40, 200))]
    return b""


def replace_number(text: str, draw: random.Random) -> str:
    """A text with one of its numbers exchanged for an odd one."""
    found = list(re.finditer(r"\d+(?:\.\d+)?", text))
    if not found:
        return text
    place = draw.choice(found)
    return text[: place.start()] + draw.choice(NUMBERS) + text[place.end() :]


def odd_value(draw: random.Random, depth: int = 0) -> Any:
    """A value of any kind that JSON has, often one that is at a limit."""
    kind = draw.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return draw.choice((None, True, False))
    if kind == 1:
        return draw.choice((0, -1, 1, 255, 2**31, 2**53, 2**63, -(2**63) - 1, 10**400))
    if kind == 2:
        return draw.choice((0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf")))
    if kind <= 5:
        return draw.choice(TEXTS)
    if kind == 6:
        return [odd_value(draw, depth + 1) for _ in range(draw.choice((0, 1, 2, 4)))]
    if kind == 7:
        count = draw.choice((0, 1, 3))
        return {draw.choice(TEXTS): odd_value(draw, depth + 1) for _ in range(count)}
    value: Any = []
    for _ in range(draw.choice((5, 30, 150))):
        value = [value]
    return value


def mutate_values(value: Any, draw: random.Random) -> Any:
    """A value of lists and mappings with one to three places changed; the given one stays."""
    value = _copy(value)
    for _ in range(draw.choice((1, 1, 2, 3))):
        value = _change(value, draw)
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _change(value: Any, draw: random.Random) -> Any:
    places = list(_places(value))
    if not places or draw.random() < 0.02:
        return odd_value(draw)
    holder, key = draw.choice(places)
    kind = draw.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, _copy(holder[key]))
    elif kind == 1:
        holder[draw.choice(TEXTS)] = holder[key]
    elif kind == 2:
        holder[key] = _copy(draw.choice(places)[0])
    else:
        holder[key] = odd_value(draw)
    return value


def _places(value: Any) -> Any:
    """Every list or mapping inside, with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])
