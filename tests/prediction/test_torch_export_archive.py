import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mnv2_dense.prediction.torch_export_archive import UnsafeProgramError, check_archive

Change = Callable[[dict[str, Any]], object]
GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def saved() -> bytes:
    """A file of torch.export without example inputs."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.ReLU6()).eval()
    program = torch.export.export(network, (torch.zeros(1, 3, 4, 4),))
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={"mnv2_dense": "{}"})
    return content.getvalue()


def rewritten(
    saved: bytes,
    changes: dict[str, Change] | None = None,
    added: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The file with some of its JSON records changed, and others added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for record in old.infolist():
            content = old.read(record)
            change = (changes or {}).get(record.filename.partition("/")[2])
            if change is not None:
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            new.writestr(record.filename, content)
        for name, content in (added or {}).items():
            new.writestr(f"archive/{name}", content)
    return out.getvalue()


def first_node(document: dict[str, Any]) -> dict[str, Any]:
    return document["graph_module"]["graph"]["nodes"][0]


def first_entry(document: dict[str, Any]) -> dict[str, Any]:
    return next(iter(document["config"].values()))


def test_a_plain_file_passes(saved: bytes) -> None:
    check_archive(saved)
    check_archive(rewritten(saved))


def seen_by_torch(content: bytes) -> list[str]:
    return [*torch._C.PyTorchFileReader(io.BytesIO(content)).get_all_records()]


def test_torch_is_given_what_was_checked_and_nothing_else(saved: bytes) -> None:
    other = "data/aotinductor/model/code.so"
    plain, unsafe = rewritten(saved), rewritten(saved, added={other: b"code"})
    with pytest.raises(UnsafeProgramError, match="a record"):
        check_archive(unsafe)
    both = two_in_one(plain, unsafe)
    assert other in seen_by_torch(both)
    assert sorted(seen_by_torch(check_archive(both))) == sorted(seen_by_torch(plain))


def two_in_one(first: bytes, second: bytes) -> bytes:
    """A file whose list of records is the first's, counted from its end, else the second's."""
    (ours, our_list, _), (theirs, their_list, count) = map(parts_of, (first, second))
    # As long as the other, by a comment of the last record.
    last = our_list.rfind(b"PK\1\2")
    padding = len(their_list) - len(our_list)
    entry = bytearray(our_list[last:])
    struct.pack_into("<H", entry, 32, struct.unpack_from("<H", entry, 32)[0] + padding)
    our_list = our_list[:last] + bytes(entry) + bytes(padding)
    theirs += bytes(max(0, len(ours) - len(theirs)))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(our_list), len(theirs), 0)
    # Python's reader takes all before our records for a preface, and adds it to every offset.
    return theirs + their_list + ours + moved(our_list, len(theirs) - len(ours)) + end


def parts_of(archive: bytes) -> tuple[bytes, bytes, int]:
    """The records, their list, and how many they are."""
    end = archive.rfind(b"PK\5\6")
    *_, count, size, _, _ = struct.unpack("<4s4H2LH", archive[end : end + 22])
    return archive[: end - size], archive[end - size : end], count


def moved(listed: bytes, shift: int) -> bytes:
    """A list of records with other offsets."""
    content, place = bytearray(listed), 0
    while place < len(content):
        lengths = struct.unpack_from("<3H", content, place + 28)
        (offset,) = struct.unpack_from("<L", content, place + 42)
        struct.pack_into("<L", content, place + 42, offset + shift)
        place += 46 + sum(lengths)
    return bytes(content)


CASES: list[tuple[str, Change, str]] = [
    (GRAPH, lambda d: first_node(d).update(target="torch.hub.load"), "calls 'torch.hub"),
    (GRAPH, lambda d: first_node(d).update(target="torch.ops.aten.from_file"), "calls"),
    (GRAPH, lambda d: d.update(guards_code=["__import__('os')"]), "guards"),
    (GRAPH, lambda d: first_node(d).update(name="a\nimport os"), "the text"),
    (GRAPH, lambda d: d.update(expr_str="__import__('os').system('x')"), "the text"),
    (GRAPH, lambda d: d.update(expr_str="Mul(Symbol('s0'), print)"), "the text"),
    (WEIGHTS, lambda d: first_entry(d).update(use_pickle=True), "pickled"),
    (WEIGHTS, lambda d: first_entry(d).update(path_name="custom_obj_0"), "no tensor"),
    (
        WEIGHTS,
        lambda d: first_entry(d)["tensor_meta"].update(sizes=[{"as_int": 10**11}]),
        "more elements",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), CASES)
def test_what_would_run_or_take_all_memory_is_refused(
    saved: bytes, name: str, change: Change, message: str
) -> None:
    with pytest.raises(UnsafeProgramError, match=message):
        check_archive(rewritten(saved, {name: change}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data/aotinductor/model/code.so", "a record"),
        ("data/weights/model.pt", "a record"),
        ("models/other.json", "a record"),
        ("data/constants/custom_obj_0", "a record"),
    ],
)
def test_records_that_torch_would_run_are_refused(saved: bytes, name: str, message: str) -> None:
    with pytest.raises(UnsafeProgramError, match=message):
        check_archive(rewritten(saved, added={name: b"x"}))


def test_example_inputs_and_compressed_records_are_refused(saved: bytes) -> None:
    with pytest.raises(UnsafeProgramError, match="compressed"):
        check_archive(rewritten(saved, compression=zipfile.ZIP_DEFLATED))
    program = torch.export.export(torch.nn.ReLU(), (torch.zeros(2),))
    content = io.BytesIO()
    torch.export.save(program, content)
    with pytest.raises(UnsafeProgramError, match="pickle"):
        check_archive(content.getvalue())
