import contextlib
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import list_differences, load_state_dict, read_checkpoint


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


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
    assert refusal(tmp_path / name).endswith("; import it first with tools/import_weights.py")
    (tmp_path / "a.ckpt").write_bytes(content)
    assert "import" not in refusal(tmp_path / "a.ckpt")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "no such" in refusal(tmp_path / "a.ckpt")
    assert "no such" in refusal(tmp_path)


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


def test_differences_are_listed_shapes_first() -> None:
    ours = {"a": torch.ones(2, 3), "b": torch.ones(()), "c": torch.ones(1)}
    theirs = {"d": torch.ones(1), "a": torch.ones(3, 2), "b": torch.ones(())}
    assert list_differences(ours, theirs) == [
        "a is 3x2 in the file and 2x3 in the network",
        "c is not in the file",
        "d is not in the network",
    ]
    assert list_differences(ours, ours) == []


def test_loading_copies_every_entry() -> None:
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    load_state_dict(target, source.state_dict(), "somewhere")
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())


def test_a_long_list_of_differences_is_cut() -> None:
    module = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
    with pytest.raises(UserError, match=r"^x\.ckpt: .*0\.weight is not in the file;.* 3 more$"):
        load_state_dict(module, {}, "x.ckpt")
    with pytest.raises(UserError, match=r"network$"):
        load_state_dict(nn.Identity(), {"a": torch.ones(1)}, "x.ckpt")
