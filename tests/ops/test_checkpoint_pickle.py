import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mnv2_dense.ops.checkpoint_file import read_checkpoint
from tests.ops.checkpoints import little_memory, pack, refusal


class Calls:
    """Unpickled, it calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_bomb_does_not_run(tmp_path: Path, zipped: bool) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.ckpt"
    bomb = Calls(os.system, f"touch {mark}")
    torch.save({"state_dict": {}, "bomb": bomb}, path, _use_new_zipfile_serialization=zipped)
    assert "refused, it is no plain checkpoint" in refusal(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # what the file does elsewhere


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (eval, ("1",)),
        (getattr, (1, "real")),
        (bytearray, (10**10,)),
        (set, ([1],)),
        (OrderedDict, ([("a", 1)],)),
        (torch.device, ("cpu",)),
        (torch.Size, ([1, 2],)),
        (torch.Tensor, (10**9,)),
    ],
)
def test_calls_are_refused(
    tmp_path: Path, function: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    torch.save({"a": Calls(function, *arguments)}, tmp_path / "a.ckpt")
    assert "refused" in refusal(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",  # STACK_GLOBAL
        b"\x80\x02}X\x01\x00\x00\x00acos\nsystem\nX\x04\x00\x00\x00true\x85Rs.",
        b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.",  # INST
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb.",  # BUILD
        b"\x80\x02}\x82\x01.",  # EXT1
        b"\x80\x02}}K\x01s.",  # a dictionary as a key
        b"\x80\x02K\x01K\x02a.",  # an item for a number
    ],
)
def test_pickle_tricks(tmp_path: Path, pickled: bytes) -> None:
    pack(tmp_path / "a.ckpt", pickled)
    assert "refused" in refusal(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "pickled",
    [b"", b"\x80\x02", b"\x80\x02}", b"\x80\x02h\x05.", b"\x80\x02t.", b"\x80\x02X\xff\xff"],
)
def test_pickles_that_are_cut_short(tmp_path: Path, pickled: bytes) -> None:
    pack(tmp_path / "a.ckpt", pickled)
    assert "truncated" in refusal(tmp_path / "a.ckpt")


def tensor_pickle(elements: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """One float tensor in a dictionary, as torch describes it, with any figures."""
    number = pickle.dumps

    def put(value: object) -> bytes:
        return number(value, 2)[2:-1]

    storage = put("storage") + b"ctorch\nFloatStorage\n" + put("0") + put("cpu") + put(elements)
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    tensor = b"((" + storage + b"tQ" + put(0) + plain(shape) + plain(strides) + hooks + b"tR"
    return b"\x80\x02}" + put("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + b"s."


def plain(numbers: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"\x8a\x08" + n.to_bytes(8, "little") for n in numbers) + b"t"


@pytest.mark.parametrize(
    ("elements", "shape", "strides"),
    [
        (10**11, (10**11,), (1,)),  # more than the record
        (1, (10**11,), (1,)),  # more than the storage
        (1, (10**6, 10**6), (0, 0)),  # one number for all
        (1, (2,), (0,)),
        (1, (1,), (1, 1)),
        (1, (0, 2**62, 2**62), (1, 1, 1)),
    ],
)
def test_tensors_that_claim_more_than_there_is(
    tmp_path: Path, elements: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    path = tmp_path / "a.ckpt"
    pack(path, tensor_pickle(1, (1,), (1,)), struct.pack("<f", 2.5))
    assert read_checkpoint(path)["a"].tolist() == [2.5]
    pack(path, tensor_pickle(elements, shape, strides), struct.pack("<f", 2.5))
    with little_memory():
        assert "refused" in refusal(path)


def test_an_expanded_tensor_is_stored_in_full_or_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10**9)}, tmp_path / "a.ckpt")
    assert "more elements than the file has" in refusal(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 2).to_sparse(),
        torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8),
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2, device="meta"),
    ],
)
def test_tensors_that_no_network_here_has(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"a": tensor}, tmp_path / "a.ckpt")
    assert "refused" in refusal(tmp_path / "a.ckpt")


def test_parameters_are_tensors(tmp_path: Path) -> None:
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["a"].tolist() == [1, 1]


def test_very_many_values(tmp_path: Path) -> None:
    pack(tmp_path / "a.ckpt", b"\x80\x02" + b"]" * 10**6)
    with little_memory():
        assert "more values" in refusal(tmp_path / "a.ckpt")


def test_a_very_long_pickle(tmp_path: Path) -> None:
    pack(tmp_path / "a.ckpt", bytes(17 * 2**20))
    with little_memory():
        assert "description of values is over" in refusal(tmp_path / "a.ckpt")


def test_a_tensor_that_leaves_its_storage(tmp_path: Path) -> None:
    pack(tmp_path / "a.ckpt", tensor_pickle(2, (2,), (5,)), bytes(8))
    assert "more elements than the file has" in refusal(tmp_path / "a.ckpt")
