import json
import math
from io import BytesIO
from typing import Any

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats import coco_stream
from mnv2_dense.formats.coco_stream import JsonReader


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_text_read_in_small_parts_is_the_same(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: dict[str, Any] = {
        "a": [1, -2.5, 'ü"\\\U0001f600', None, [], {"b": [True]}, 10**20, math.inf],
        "c": 12,
    }
    text = json.dumps(data, ensure_ascii=False, indent=1)
    for size in (7, 16, 1 << 20):
        monkeypatch.setattr(coco_stream, "CHUNK", size)
        reader = JsonReader(BytesIO(text.encode(encoding)))
        found = {
            key: list(reader.entries()) if reader.peek() == "[" else reader.value()
            for key in reader.members()
        }
        reader.finish()
        assert found == data


def test_a_value_of_too_many_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_stream, "MAX_VALUE", 1 << 20)
    reader = JsonReader(BytesIO(b'"' + b"x" * (3 << 20) + b'"'))
    with pytest.raises(UserError, match="a value of more than 1 million characters"):
        reader.value()
