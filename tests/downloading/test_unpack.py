import io
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2_dense.downloading import members
from mnv2_dense.downloading import unpack as module
from mnv2_dense.downloading.unpack import unpack
from mnv2_dense.errors import UserError
from tests.downloading.archives import tar_of, zip_of

FILES = {"a/one.txt": b"1", "a/b/two.bin": bytes(range(256)) * 1000, "c.txt": b""}
CHANGES = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=6)
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
    assert "the same name" in refused(path)


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


def tar_with(**fields: object) -> bytes:
    """A tar file of one member with these fields, and another behind it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a")
        for name, value in fields.items():
            setattr(member, name, value)
        archive.addfile(member)
        archive.addfile(tarfile.TarInfo("b"))
    return out.getvalue()


def test_a_header_that_sends_backwards(tmp_path: Path) -> None:
    content = bytearray(tar_with())
    content[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024 bytes
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    text = refused(save(tmp_path, "a.tar", bytes(content)))
    assert "backwards" in text or "invalid" in text


@pytest.mark.parametrize(
    "names", [("Ab", "aB"), ("e\u0301", "\u00e9"), ("a/x", "a\\x"), ("./a", "a"), ("a", "a")]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_one_on_some_system(tmp_path: Path, names: tuple[str, str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    assert "the same name" in refused(save(tmp_path, "a.zip", out.getvalue()))


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "\udcff", "d/" * 40 + "x", "."])
def test_odd_names(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    text = refused(save(tmp_path, "a.tar", out.getvalue()))
    assert "no proper names" in text
    assert text.isprintable()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_cannot_be_bounded(tmp_path: Path, method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a", bytes(1000))
    assert "not deflated" in refused(save(tmp_path, "a.zip", out.getvalue()))


def test_an_encrypted_member(tmp_path: Path) -> None:
    content = bytearray(zip_of({"a": b"secret"}))
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.find(mark) + place] |= 1
    assert "a is encrypted" in refused(save(tmp_path, "a.zip", bytes(content)))


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    content = zip_of({"one": b"1" * 100, "two": b"2" * 100})
    second = content.rfind(b"PK\1\2")
    shared = content[: second + 42] + bytes(4) + content[second + 46 :]
    assert "one and two overlap" in refused(save(tmp_path, "a.zip", shared))


def test_bombs_stay_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "FREE", 1000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10**6))
    assert "more than 100 times" in refused(save(tmp_path, "a.zip", out.getvalue()))
    # Neither what is not wanted nor what only pads is gone through without end.
    packed = tmp_path / "in" / "a.tgz"
    packed.write_bytes(tar_of({"b": b"1", "x": bytes(10**6), "z": b"2"}, "w:gz"))
    assert "more than 100 times" in refused(packed)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 10)
    files = {str(index): b"" for index in range(11)}
    content = zip_of(files) if kind == "zip" else tar_of(files)
    assert "more than 10 members" in refused(save(tmp_path, f"a.{kind}", content))


def test_large_headers_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_HEADER", 4096)
    assert "more than 4096 bytes" in refused(save(tmp_path, "a.tar", tar_of({"n" * 5000: b""})))
    monkeypatch.setattr(members, "MAX_PIECE", 512)
    many = tmp_path / "in" / "a.zip"
    many.write_bytes(zip_of({f"{index:040}": b"" for index in range(20)}))
    assert "larger than 512" in refused(many)


@pytest.mark.parametrize("claimed", [0, 9, 11, 2**31])
def test_a_size_that_is_not_true(tmp_path: Path, claimed: int) -> None:
    content = bytearray(zip_of({"a": b"0123456789"}))
    for mark, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = content.find(mark) + place
        content[at : at + 4] = claimed.to_bytes(4, "little")
    path = save(tmp_path, "a.zip", bytes(content))
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
    written = [each for each in (tmp_path / "out").rglob("*") if each.stat().st_size > claimed]
    assert not written


def test_only_what_was_looked_at_is_written(tmp_path: Path) -> None:
    """A member that leads outside is not asked for, and is passed over again."""
    content = zip_of({"x/a": b"", "y/a": b""})
    path = save(tmp_path, "a.zip", content.replace(b"x/a", b"../"))
    unpack(path, tmp_path / "out", ("y/",))
    assert contents(tmp_path) == {"in/a.zip": path.read_bytes(), "out/y/a": b""}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(kind=st.sampled_from(["zip", "tar", "tgz"]), changes=CHANGES)
def test_spoilt_archives(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[int, int]]
) -> None:
    files = {"a/one.txt": b"1", "c.bin": bytes(range(50))}
    whole = zip_of(files) if kind == "zip" else tar_of(files, "w:gz" if kind == "tgz" else "w")
    content = bytearray(whole)
    for place, byte in changes:
        content[place % len(content)] = byte
    folder = tmp_path_factory.mktemp("spoilt")
    path = save(folder, f"a.{kind}", bytes(content))
    with suppress(UserError):
        unpack(path, folder / "out")
    assert {each.name for each in folder.iterdir()} <= {"in", "out"}
    assert all(
        each.is_dir() or each.lstat().st_mode & 0o177111 == 0o100000 for each in folder.rglob("*")
    )


def test_nothing_becomes_a_program(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("run")
        member.mode = 0o4777
        archive.addfile(member)
    unpack(save(tmp_path, "a.tar", out.getvalue()), tmp_path / "out")
    assert (tmp_path / "out" / "run").stat().st_mode & 0o7111 == 0
