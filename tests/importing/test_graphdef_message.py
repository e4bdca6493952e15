import gzip
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing import graphdef_message
from mnv2_dense.importing.graphdef import read_graphdef
from tests.importing.archives import CONTENT, is_conv
from tests.importing.small_graphs import conv_graph


@pytest.mark.parametrize("head", [b"", b"\x0a\x01x\x12\x01A"])
def test_many_empty_messages_are_counted_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(graphdef_message, "MAX_FIELDS", 1000)
    body = head + (b"\x1a\x00" if head else b"\x0a\x00") * 1001
    length = bytes([len(body) % 128 + 128, len(body) // 128])
    path = tmp_path / "many.pb"
    path.write_bytes(b"\x0a" + length + body if head else body)
    with pytest.raises(UserError, match=r"not a TensorFlow GraphDef, or .* more than 1000 fields"):
        read_graphdef(path)
    path.write_bytes(CONTENT)
    assert is_conv(read_graphdef(path), path)


def test_messages_inside_one_another_are_bounded(tmp_path: Path) -> None:
    message = conv_graph().message
    inner = message.node[-1].attr["deep"]
    for _ in range(graphdef_message.MAX_DEPTH // 2):
        inner = inner.func.attr["deeper"]
    inner.b = True
    path = tmp_path / "deep.pb"
    path.write_bytes(message.SerializeToString())
    with pytest.raises(UserError, match="more than 50 messages inside one another"):
        read_graphdef(path)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    meta = b"\x12" + bytes([len(CONTENT) % 128 + 128, len(CONTENT) // 128]) + CONTENT
    saved = b"\x08\x01\x12" + bytes([len(meta) % 128 + 128, len(meta) // 128]) + meta
    for content, message in (
        (b"", "not a TensorFlow GraphDef"),
        (b"node { name: 'x' }", "not a TensorFlow GraphDef"),
        (b"<html>not found</html>", "not a TensorFlow GraphDef"),
        (bytes(range(256)), "not a TensorFlow GraphDef"),
        (b"\x08\x96\x01", "not a TensorFlow GraphDef"),
        (CONTENT[:-5], "truncated"),
        (gzip.compress(CONTENT), "damaged"),
        (b"PK\x03\x04 and so on", "damaged"),
        (saved, "a SavedModel, whose weights are elsewhere"),
    ):
        path = tmp_path / "model.pb"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as caught:
            read_graphdef(path)
        assert str(path) in str(caught.value)
