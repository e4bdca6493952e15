import os
import tarfile
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing import graphdef_files
from mnv2_dense.importing.graphdef import read_graphdef
from tests.importing.archives import CONTENT, is_conv, write_tar, write_zip


@pytest.mark.parametrize(
    "name", ["a/frozen_inference_graph.pb", "./frozen_inference_graph.pb", "mnv2_1.0_frozen.pb"]
)
def test_files_archives_and_folders(tmp_path: Path, name: str) -> None:
    files = {"a/readme.txt": b"text", name: CONTENT, "a/saved_model/saved_model.pb": b"other"}
    paths = [
        write_tar(tmp_path / "model.tar.gz", files),
        write_tar(tmp_path / "model.tgz", files),
        write_tar(tmp_path / "model.tar", files, "w"),
        write_zip(tmp_path / "model.zip", files),
    ]
    before = sorted(tmp_path.rglob("*"))
    assert all(is_conv(read_graphdef(path), path) for path in paths)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked
    alone = tmp_path / "anything.pb"
    alone.write_bytes(CONTENT)
    assert is_conv(read_graphdef(alone), alone)
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / name).write_bytes(CONTENT)
    assert is_conv(read_graphdef(folder), folder)


def test_an_archive_must_hold_one_frozen_graph(tmp_path: Path) -> None:
    none = {"model.ckpt.index": b"", "a\x1b[2J.pb": b"", **{f"{i}.txt": b"" for i in range(20)}}
    several = {f"{name}/frozen_inference_graph.pb": CONTENT for name in "ab"}
    (tmp_path / "empty").mkdir()
    for path, message in (
        (write_tar(tmp_path / "none.tar.gz", none), "no frozen_inference_graph.pb"),
        (write_zip(tmp_path / "none.zip", none), r"ckpt.index, a\?\[2J.pb, .* and 14 more"),
        (write_tar(tmp_path / "two.tar.gz", several), "holds 2 frozen graphs, it holds a/frozen"),
        (write_zip(tmp_path / "two.zip", several), "holds 2 frozen graphs, it holds a/frozen"),
        (tmp_path / "empty", "it holds nothing"),
        (tmp_path / "missing.pb", "no such file"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            read_graphdef(path)
        assert str(caught.value).startswith(str(path))


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        with tarfile.open(tmp_path / "links.tar", "w") as archive:
            info = tarfile.TarInfo("frozen_inference_graph.pb")
            info.type, info.linkname = kind, str(tmp_path / "secret")
            archive.addfile(info)
        with pytest.raises(UserError, match="no frozen_inference_graph"):
            read_graphdef(tmp_path / "links.tar")


def test_bombs_do_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphdef_files, "MAX_BYTES", 100_000)
    monkeypatch.setattr(graphdef_files, "MAX_ARCHIVE_BYTES", 300_000)
    monkeypatch.setattr(graphdef_files, "MAX_MEMBERS", 50)
    large = {"frozen_inference_graph.pb": bytes(100_001)}
    behind = {"padding": bytes(400_000), "frozen_inference_graph.pb": CONTENT}
    many = {str(index): b"" for index in range(60)}
    raw = tmp_path / "raw.pb"
    raw.write_bytes(bytes(100_001))
    lying = write_zip(tmp_path / "lying.zip", large)
    lying.write_bytes(lying.read_bytes().replace((100_001).to_bytes(4, "little"), b"\7\0\0\0"))
    for path, message in (
        (write_tar(tmp_path / "large.tar.gz", large), "more than 0 MB"),
        (write_zip(tmp_path / "large.zip", large), "more than 0 MB"),
        (raw, "more than 0 MB"),
        (lying, "damaged"),
        (write_tar(tmp_path / "behind.tar.gz", behind), "more than 0 MB unpacked"),
        (write_tar(tmp_path / "many.tar.gz", many), "more than 50 files"),
        (write_zip(tmp_path / "many.zip", many), "more than 50 files"),
    ):
        with pytest.raises(UserError, match=message):
            read_graphdef(path)


def test_folders_and_links_count_as_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphdef_files, "MAX_MEMBERS", 50)
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz") as archive:
        for index in range(60):
            info = tarfile.TarInfo(str(index))
            info.type = (tarfile.DIRTYPE, tarfile.SYMTYPE)[index % 2]
            archive.addfile(info)
    with pytest.raises(UserError, match="more than 50 files"):
        read_graphdef(tmp_path / "many.tar.gz")


def test_large_headers_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphdef_files, "MAX_HEADER", 2048)
    for path in (
        write_tar(tmp_path / "long.tar", {"n" * 5000: b"", "frozen_inference_graph.pb": CONTENT}),
        write_zip(tmp_path / "long.zip", {"n" * 5000: b"", "frozen_inference_graph.pb": CONTENT}),
    ):
        with pytest.raises(UserError, match="damaged"):
            read_graphdef(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frozen_inference_graph.pb")
    with pytest.raises(UserError, match="no frozen_inference_graph"):
        read_graphdef(tmp_path)
