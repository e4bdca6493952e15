import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mnv2_dense.ops.checkpoint_archive import PICKLE
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from tests.ops.checkpoints import little_memory, pack, refusal, torch_pickle


def edit_record(path: Path, name: bytes, change: Callable[[bytearray, int], None]) -> None:
    """Changes the entry of a record in an archive's list, at its given place."""
    data = bytearray(path.read_bytes())
    change(data, data.rindex(name) - 46)
    path.write_bytes(data)


def put(offset: int, layout: str, value: int) -> Callable[[bytearray, int], None]:
    return lambda data, entry: struct.pack_into(layout, data, entry + offset, value)


def test_records_that_inflate(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(f"a/{PICKLE}", torch_pickle({"a": 1}))
        with archive.open("a/data/0", "w") as record:
            for _ in range(64):
                record.write(bytes(2**20))
    assert path.stat().st_size < 2**17
    with little_memory():
        assert "compressed records" in refusal(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(42, "<I", 0), "overlap|damaged"),
        (put(20, "<I", 10**9), "compressed|overlap"),
        (put(24, "<I", 10**9), "compressed"),
        (put(8, "<H", 1), "encrypted"),
        (put(10, "<H", 8), "compressed"),
        (put(42, "<I", 2**32 - 2), "truncated|damaged|overlap"),
        (put(46, "<B", ord("b")), "one folder"),
    ],
)
def test_zip_tricks(tmp_path: Path, change: Callable[[bytearray, int], None], words: str) -> None:
    path = tmp_path / "a.ckpt"
    pack(path, torch_pickle({"a": 1}), bytes(100))
    read_checkpoint(path)
    edit_record(path, b"a/data/0", change)
    with little_memory():
        message = refusal(path)
    assert any(word in message for word in words.split("|")), message


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", [f"a/{PICKLE}", "A/DATA.PKL", "b/x", "../x", "a/../../x", "/x"])
def test_record_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.ckpt"
    pack(path, torch_pickle({"a": 1}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, torch_pickle({"a": 2}))
    assert "one name" in refusal(path) or "one folder" in refusal(path)


def test_very_many_records(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    pack(path, torch_pickle({"a": 1}))
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    entries = data[start : data.index(b"PK\x05\x06")] * 3_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 6_000, 6_000, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + end)
    with little_memory():
        assert "one name" in refusal(path)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + end)
    assert "damaged" in refusal(path)
    path.write_bytes(data[:start] + entries * 4 + end)
    assert "not at its end" in refusal(path)


def test_bytes_before_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    pack(path, torch_pickle({"a": 1}))
    path.write_bytes(b"PK\x03\x04" + path.read_bytes())
    assert "cannot be read" in refusal(path)


def test_two_lists_of_records(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"a": 1}, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x06\x06") + 32] += 1  # the 64-bit number of records
    path.write_bytes(data)
    assert "two lists of records" in refusal(path)
