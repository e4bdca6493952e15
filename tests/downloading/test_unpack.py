import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from mnv2_dense.downloading import unpack as module
from mnv2_dense.downloading.unpack import unpack
from mnv2_dense.errors import UserError
from tests.downloading.archives import tar_of, zip_of

FILES = {"a/one.txt": b"1", "a/b/two.bin": bytes(range(256)) * 1000, "c.txt": b""}
OUTSIDE = ["../x", "/x", "a/../../x", "C:\\x", "..\\x", "\\x"]


def refused(path: Path) -> str:
    """Refuses the archive; nothing is written, not even a folder."""
    before = set(path.parent.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        unpack(path, path.parent / "out")
    assert set(path.parent.parent.rglob("*")) == before
    return str(caught.value)


def save(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.zip", zip_of(FILES)), ("a.tar", tar_of(FILES)), ("a.tgz", tar_of(FILES, "w:gz"))],
)
def test_every_file_arrives(tmp_path: Path, name: str, content: bytes) -> None:
    unpack(save(tmp_path, name, content), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_only_what_is_wanted(tmp_path: Path) -> None:
    path = save(tmp_path, "a.tgz", tar_of(FILES, "w:gz"))
    unpack(path, tmp_path / "out", ("a/b/", "c.txt"))
    assert set(contents(tmp_path / "out")) == {"a/b/two.bin", "c.txt"}
    with pytest.raises(UserError, match="holds none of the files"):
        unpack(path, tmp_path / "other", ("z/",))


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_outside(tmp_path: Path, name: str, kind: str) -> None:
    files = {"fine.txt": b"1", name: b"2"}
    content = zip_of(files) if kind == "zip" else tar_of(files)
    assert "outside" in refused(save(tmp_path, f"a.{kind}", content))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE],
)
def test_links_and_devices_in_a_tar_file(tmp_path: Path, kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "links or devices" in refused(save(tmp_path, "a.tar", out.getvalue()))


def test_a_link_in_a_zip_file(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "links or devices" in refused(save(tmp_path, "a.zip", out.getvalue()))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
@pytest.mark.parametrize("content", [b"", b"no archive", zip_of(FILES)[:-30]])
def test_damaged_archives(tmp_path: Path, name: str, content: bytes) -> None:
    text = refused(save(tmp_path, name, content))
    assert "cannot be unpacked" in text or "holds none" in text


def test_half_of_a_tar_file(tmp_path: Path) -> None:
    content = tar_of(FILES, "w:gz")
    text = refused(save(tmp_path, "a.tgz", content[: len(content) // 2]))
    assert "cannot be unpacked" in text


def test_a_name_that_comes_twice(tmp_path: Path) -> None:
    out = io.BytesIO(tar_of({"a": b"1"})[:1024])
    path = save(tmp_path, "a.tar", out.getvalue() + tar_of({"a": b"2"}))
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")


def test_room_is_asked_for_all_wanted_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def require_space(folder: Path, need: int, purpose: str) -> None:
        asked.append(need)

    monkeypatch.setattr(module, "require_space", require_space)
    path = save(tmp_path, "a.zip", zip_of(FILES))
    unpack(path, tmp_path / "out")
    unpack(path, tmp_path / "part", ("a/one",))
    assert asked == [sum(map(len, FILES.values())), 1]


def test_nothing_becomes_a_program(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("run")
        member.mode = 0o4777
        archive.addfile(member)
    unpack(save(tmp_path, "a.tar", out.getvalue()), tmp_path / "out")
    assert (tmp_path / "out" / "run").stat().st_mode & 0o7111 == 0
