"""What is fuzzed: small valid files of every kind that is read, and what is done with each."""

import functools
import io
import json
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers
import importer_mutations as spoil
from ai_edge_litert import schema_py_generated as schema

from mnv2_dense.downloading.partial import Partial
from mnv2_dense.downloading.place import is_complete, place, write_record
from mnv2_dense.downloading.unpack import unpack
from mnv2_dense.importing.reading import read_weights
from mnv2_dense.structures import ImageSize
from tests.downloading.archives import tar_of, zip_of
from tests.importing import random_networks as networks
from tests.importing.flatbuffers_models import write_everything
from tests.importing.networks import classifier_graph, deeplab_graph
from tests.importing.release_forms import suppress
from tests.importing.small_detectors import message_of
from tests.importing.small_graphs import conv_graph, norm_graph

Seeds = list[tuple[str, bytes]]


class Target(NamedTuple):
    """A parser, its valid files, the ways to spoil them, and its share of the cases."""

    name: str
    seeds: Callable[[], Seeds]
    changes: Callable[[str], list[spoil.Spoil]]
    check: Callable[[Path, str, bytes], None]
    share: int


def _read(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.write_bytes(content)
    read_weights(path)


@functools.cache
def _flatbuffers() -> Seeds:
    path = Path(tempfile.mkdtemp()) / "small.tflite"
    small = write_everything(path).read_bytes()
    found = [("small.tflite", small)] * 95
    if shared := os.environ.get("MNV2_DENSE_SHARED"):
        files = sorted(Path(shared, "data", "weights").glob("*.tflite"))
        found += [(file.name, file.read_bytes()) for file in files]
    return found


def _by_objects(chance: Any, content: bytes) -> bytes:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    spoil.spoil_table(chance, model)
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except Exception:  # values that the schema cannot write
        return spoil.spoil_offsets(chance, content)
    return bytes(builder.Output())


def _change_flatbuffer(name: str) -> list[spoil.Spoil]:
    small = [_by_objects] * 3 if name.startswith("small") else []
    return [spoil.spoil_bytes, spoil.spoil_offsets, *small]


@functools.cache
def _graphs() -> Seeds:
    narrow: dict[str, Any] = {"width_mult": 0.1, "last_channels": 16}
    segmenter = networks.segmenter(5, {"width_mult": 0.1}, channels=8)
    detector = message_of()
    suppress(detector, score=0.1, iou=0.5, per_class=10, classes=3)
    norms = norm_graph("FusedBatchNormV3", is_training=False)
    messages = {
        "conv": (conv_graph().message, 60),
        "norm": (norms.message, 60),
        "classifier": (classifier_graph(networks.classifier(4, **narrow)), 2),
        "fixed": (classifier_graph(networks.classifier(4, **narrow), ImageSize(64, 64)), 1),
        "unfused": (classifier_graph(networks.classifier(4, **narrow), norm="unfused"), 1),
        "deeplab": (deeplab_graph(segmenter, ImageSize(65, 65), dilated="space_to_batch"), 1),
        "detector": (detector, 1),
    }
    return [
        (f"{name}.pb", message.SerializeToString())
        for name, (message, times) in messages.items()
        for _ in range(times)
    ]


def _change_graph(_name: str) -> list[spoil.Spoil]:
    return [spoil.spoil_bytes, spoil.spoil_wire, *[spoil.spoil_graph] * 4]


@functools.cache
def _frozen_archives() -> Seeds:
    content = conv_graph().message.SerializeToString()
    return _archives({"a/readme.txt": b"text" * 40, "a/frozen_inference_graph.pb": content})


@functools.cache
def _data_archives() -> Seeds:
    return _archives({"a/one.txt": b"1", "a/b/two.bin": bytes(range(256)) * 8, "c.txt": b""})


def _archives(files: dict[str, bytes]) -> Seeds:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    pax = io.BytesIO()
    with tarfile.open(fileobj=pax, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in {**files, "n" * 150 + "/é": b"long"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return [
        ("stored.zip", zip_of(files)),
        ("deflated.zip", packed.getvalue()),
        ("plain.tar", tar_of(files)),
        ("pax.tar", pax.getvalue()),
        ("packed.tar.gz", tar_of(files, "w:gz")),
    ]


def _change_archive(name: str) -> list[spoil.Spoil]:
    if name.endswith(".zip"):
        return [spoil.spoil_bytes, spoil.spoil_zip, spoil.spoil_zip]
    if name.endswith(".gz"):
        return [spoil.spoil_bytes, spoil.spoil_gzip]
    return [spoil.spoil_bytes, spoil.spoil_tar, spoil.spoil_tar]


def _unpack(folder: Path, name: str, content: bytes) -> None:
    """Whatever happens, nothing is beside the target, and there are plain files in it."""
    (folder / "in").mkdir()
    (folder / "in" / name).write_bytes(content)
    out, target = folder / "work" / "out", folder / "data"
    out.parent.mkdir()
    try:
        unpack(folder / "in" / name, out)
        names = place(out, target)
        write_record(folder / "in" / "record", "0" * 32, names, target)
        assert is_complete(folder / "in" / "record", "0" * 32, target), "is not whole"
    finally:
        assert {*folder.iterdir()} <= {folder / each for each in ("in", "work", "data")}, "outside"
        assert {*out.parent.iterdir()} <= {out}, "beside"
        for path in folder.rglob("*"):
            mode = path.lstat().st_mode
            assert stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & 0o7111), "odd file"


@functools.cache
def _notes() -> Seeds:
    note = json.dumps(["http://a", '"tag"', "Mon, 01 Jan 2024 00:00:00 GMT"]).encode()
    return [("part.json", note), ("record", b"0" * 32 + b"\n3 a/one.txt\n")]


def _read_notes(folder: Path, name: str, content: bytes) -> None:
    (folder / "part").write_bytes(b"123")
    (folder / name).write_bytes(content)
    if name == "record":
        is_complete(folder / "record", "0" * 32, folder)
        return
    partial = Partial(folder / "part", 10)
    partial.version("http://a")
    partial.keep_better()


def _change_note(_name: str) -> list[spoil.Spoil]:
    return [spoil.spoil_bytes]


TARGETS = {
    each.name: each
    for each in (
        Target("tflite", _flatbuffers, _change_flatbuffer, _read, 35),
        Target("graphdef", _graphs, _change_graph, _read, 35),
        Target("frozen", _frozen_archives, _change_archive, _read, 13),
        Target("unpack", _data_archives, _change_archive, _unpack, 15),
        Target("notes", _notes, _change_note, _read_notes, 2),
    )
}
