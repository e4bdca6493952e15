"""Reads a JSON object of long lists entry by entry: as a whole it would take too much memory."""

import codecs
import json
import re
from collections.abc import Iterator
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Any, BinaryIO

from mnv2_dense.errors import UserError
from mnv2_dense.formats.numbers import parse_whole

CHUNK = 1 << 20
"""Bytes that are read at a time."""
MAX_VALUE = 16 << 20
"""Characters of the longest entry: decoded it may take twenty times the space."""

_GAP = re.compile(r"[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_CUT = 64
"""Mistakes this close to the end of what was read may be where it was cut."""


class JsonReader:
    """A position in a JSON text that is read part by part.

    Python's own decoder reads each value: what it takes (NaN, Infinity), this takes.

    Args:
        stream: The file, at its beginning.

    Attributes:
        source: The text of the last value.
        doubled: A key that the last value or a part of it has twice; None if there is none.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.source = ""
        self.doubled: str | None = None
        self._stream = stream
        start = stream.read(CHUNK)
        self._decode = codecs.getincrementaldecoder(json.detect_encoding(start))("surrogatepass")
        self._text = self._decode.decode(start, final=len(start) < CHUNK)
        self._at = 0
        self._lines = 1
        self._line_start = 0
        # Any: the scanner behind `raw_decode` has no declaration.
        plain: Any = JSONDecoder(object_pairs_hook=self._pairs)
        lenient: Any = JSONDecoder(object_pairs_hook=self._pairs, parse_int=parse_whole)
        self._scan, self._scan_long = plain.scan_once, lenient.scan_once

    def members(self) -> Iterator[str]:
        """Keys of the object that begins here; the value of each is to be read before the next."""
        self.expect("{")
        if self.peek() == "}":
            self.expect("}")
            return
        while True:
            if self.peek() != '"':
                raise self._error("Expecting property name enclosed in double quotes")
            yield self._key()
            if self.peek() == "}":
                self.expect("}")
                return
            self.expect(",")

    def entries(self) -> Iterator[Any]:
        """Values of the list that begins here."""
        self.expect("[")
        if self.peek() == "]":
            self.expect("]")
            return
        while True:
            yield self.value()
            comma = _COMMA.match(self._text, self._at)
            if comma and comma.end() < len(self._text):
                self._at = comma.end()
            elif self.peek() == "]":
                self._at += 1
                return
            else:
                self.expect(",")
                self.peek()

    def _key(self) -> str:
        key = self.value()
        self.expect(":")
        self.peek()
        return key

    def value(self) -> Any:
        """The value that begins here."""
        self.doubled = None
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except (StopIteration, ValueError) as error:
                found = self._retry(error)
                if found is None:
                    continue
                value, end = found
            if end < len(self._text) - _CUT or not self._more():  # 2.5 may be cut behind 2.
                self.source, self._at = self._text[self._at : end], end
                return value

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            found = _GAP.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, mark: str) -> None:
        """Goes behind a character that must be the next.

        Raises:
            UserError: It is not.
        """
        if self.peek() != mark:
            raise self._error(f"Expecting {mark!r}")
        self._at += 1

    def finish(self) -> None:
        """Goes to the end of the file.

        Raises:
            UserError: There is more than spaces.
        """
        if self.peek():
            raise self._error("Extra data")

    def _retry(self, error: Exception) -> tuple[Any, int] | None:
        """The value that could not be read and its end; None if more is there to try again."""
        if isinstance(error, StopIteration):
            problem, place = "Expecting value", error.value
        elif isinstance(error, JSONDecodeError):
            problem, place = error.msg, error.pos
        else:  # A whole number of thousands of digits.
            try:
                return self._scan_long(self._text, self._at)
            except (StopIteration, ValueError) as other:
                return self._retry(other)
        cut = problem.startswith("Unterminated") or place > len(self._text) - _CUT
        if cut and self._more():
            return None
        self._at = place
        raise self._error(problem) from error

    def _more(self) -> bool:
        """Forgets what is behind and reads on, as much again as the value has; False at the end."""
        if len(self._text) - self._at >= MAX_VALUE:
            raise UserError(
                f"{self.place()}: a value of more than {MAX_VALUE >> 20} million characters"
            )
        data = self._stream.read(max(CHUNK, len(self._text) - self._at))
        if not data:
            self._text += self._decode.decode(b"", final=True)
            return False
        behind = self._text[: self._at]
        self._lines += behind.count("\n")
        newline = behind.rfind("\n")
        self._line_start = (newline + 1 if newline >= 0 else self._line_start) - self._at
        self._text = self._text[self._at :] + self._decode.decode(data)
        self._at = 0
        return True

    def place(self) -> str:
        """`line 1 column 7`."""
        line = self._lines + self._text.count("\n", 0, self._at)
        newline = self._text.rfind("\n", 0, self._at)
        start = newline + 1 if newline >= 0 else self._line_start
        return f"line {line} column {self._at - start + 1}"

    def _error(self, message: str) -> UserError:
        return UserError(f"not complete JSON, perhaps cut short ({message}, {self.place()})")

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            self.doubled = next(key for key in keys if keys.count(key) > 1)
        return values
