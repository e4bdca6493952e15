import contextlib
import io
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import (
    SEAL,
    check_seal,
    read_checkpoint,
    read_seal,
    write_sealed,
)
from tests.ops.checkpoints import little_memory, refusal


def content() -> dict[str, Any]:
    state = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.tensor(7))
    return {"state_dict": state, "epoch": 3, "card": {"sizes": [1, 2.5, None], "text": "x"}}


def sealed(path: Path) -> bytes:
    with path.open("w+b") as file:
        write_sealed(content(), file)
    return path.read_bytes()


# The seal


def test_sealed_files_are_read_by_all(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    sealed(path)
    assert check_seal(path) is True
    ours, theirs = read_checkpoint(path), torch.load(path, weights_only=True)
    mapped = torch.load(path, weights_only=True, mmap=True)
    for found in (ours, theirs, mapped):
        assert torch.equal(found["state_dict"]["a"], content()["state_dict"]["a"])
        assert found["card"] == content()["card"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(SEAL)


def test_a_seal_is_the_hash_of_the_archive_before_it(tmp_path: Path) -> None:
    import hashlib

    data, plain = sealed(tmp_path / "a.ckpt"), io.BytesIO()
    torch.save(content(), plain)
    comment = SEAL + hashlib.sha256(plain.getvalue()).hexdigest().encode()
    assert data == plain.getvalue()[:-2] + struct.pack("<H", len(comment)) + comment


def test_a_seal_tells_a_file_from_others(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    seal = SEAL.decode() + str((sealed(path), read_seal(path))[1])
    assert path.read_bytes().endswith(seal.encode())
    torch.save(content(), path)
    assert read_seal(path) is None
    path.write_bytes(b"no archive")
    assert read_seal(path) is None


def test_one_changed_bit_breaks_a_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    whole = sealed(path)
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert check_seal(path) is False, place
        if place % 100 == 0:
            refusal(path)


def test_a_damaged_sealed_file_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    whole = bytearray(sealed(path))
    at = whole.index(torch.arange(6.0).numpy().tobytes())
    for place in (50, at + 3, whole.rindex(b"PK\x01\x02") + 10, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert refusal(path).endswith("damaged, its checksum does not match")


def test_cuts_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    whole = sealed(path)
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert check_seal(path) is False, length
        if length % 98 == 0:
            refusal(path)


def test_files_without_a_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(content(), path)
    assert check_seal(path) is None
    assert read_checkpoint(path)["epoch"] == 3
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    assert check_seal(path) is False  # no archive
    assert read_checkpoint(path)["epoch"] == 3
    with pytest.raises(FileNotFoundError):
        check_seal(tmp_path / "missing")


def test_a_seal_is_checked_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    with path.open("w+b") as file:
        write_sealed({"a": torch.zeros(3 * 2**20)}, file)
    tracemalloc.start()
    assert check_seal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20 < path.stat().st_size


# Reading


def test_plain_values_come_back(tmp_path: Path) -> None:
    content = {"state_dict": {"a": torch.eye(2)}, "epoch": 3, "config": {"sizes": [1, 2.5, None]}}
    torch.save(content, tmp_path / "a.ckpt")
    read = read_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(read["state_dict"].pop("a"), torch.eye(2))
    assert read == {"state_dict": {}, "epoch": 3, "config": {"sizes": [1, 2.5, None]}}


@pytest.mark.parametrize("name", ["a.tflite", "A.PB", "a.tar.gz", "a.zip"])
@pytest.mark.parametrize("content", [b"hello", pickle.dumps([1]), b""])
def test_files_of_other_programs_are_to_be_imported(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).endswith("; import it first with mnv2-dense import_weights")
    (tmp_path / "a.ckpt").write_bytes(content)
    assert "import" not in refusal(tmp_path / "a.ckpt")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "no such" in refusal(tmp_path / "a.ckpt")
    assert "no checkpoint file" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"<html>404</html>", pickle.dumps({"a": 1}), pickle.dumps([1], protocol=4)],
)
def test_other_formats(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize("content", [[1], 3, torch.ones(2), {1: 2}, {"state_dict": [1]}])
def test_no_dictionary_of_names(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    assert "not a dictionary of weights" in refusal(tmp_path / "a.ckpt")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bytes_end_in_one_clear_message_or_are_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.ckpt"
    content = {"a": torch.ones(3), "b": [1, "x"]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 11):
        path.write_bytes(whole[:length])
        refusal(path)
    chance = random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("global_step", "x"),
        ("epoch", [1]),
        ("state_dict", [1]),
        ("state_dict", {1: torch.ones(1)}),
        ("optimizer_states", {"a": 1}),
        ("lr_schedulers", 3),
        ("callbacks", [1]),
        ("loops", "x"),
        ("pytorch-lightning_version", 2),
    ],
)
def test_wrong_types(tmp_path: Path, name: str, value: object) -> None:
    torch.save({**content(), name: value}, tmp_path / "a.ckpt")
    assert "refused" in refusal(tmp_path / "a.ckpt") or name == "state_dict"


def test_any_damage_ends_in_one_line_or_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(content(), path)
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(whole))] = chance.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            read_checkpoint(path)


def test_a_small_file_of_before_torch_1_6_that_claims_much(tmp_path: Path) -> None:
    path, target = tmp_path / "a.ckpt", io.BytesIO()
    torch.save({"a": torch.ones(77)}, target, _use_new_zipfile_serialization=False)
    path.write_bytes(target.getvalue())
    assert read_checkpoint(path)["a"].sum() == 77
    path.write_bytes(target.getvalue().replace(b"K\x4d", b"J\xff\xff\xff\x7f"))
    with little_memory():
        assert "another size than is in the file" in refusal(path)
