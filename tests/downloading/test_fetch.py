from pathlib import Path

import pooch
import pytest

from mnv2_dense.downloading.catalog import Archive
from mnv2_dense.downloading.fetch import fetch, partial_file
from mnv2_dense.errors import UserError
from tests.downloading.archives import archive_of
from tests.downloading.server import Behaviour

CONTENT = b"0123456789" * 20_000


@pytest.fixture
def archive(server: Behaviour) -> Archive:
    server.files["a.zip"] = CONTENT
    return archive_of(f"{server.url}/a.zip", CONTENT)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_the_file_stays(archive: Archive, tmp_path: Path) -> None:
    path = fetch(archive, tmp_path)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.zip"]


def test_a_file_that_is_there_is_not_fetched(
    archive: Archive, server: Behaviour, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(CONTENT)
    assert fetch(archive, tmp_path) == tmp_path / "a.zip"
    assert server.requests == []


def test_another_file_of_that_name_is_left_alone(
    archive: Archive, server: Behaviour, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(b"mine")
    with pytest.raises(UserError, match=f"the catalogue says {archive.md5}; move it away"):
        fetch(archive, tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"
    assert server.requests == []


def test_wrong_bytes_are_named_and_deleted(
    archive: Archive, server: Behaviour, tmp_path: Path
) -> None:
    server.files["a.zip"] = CONTENT[:-1] + b"x"
    with pytest.raises(UserError, match=rf"a\.zip: what came is not .* md5 {archive.md5}"):
        fetch(archive, tmp_path)
    assert names(tmp_path) == []
    server.files["a.zip"] = CONTENT
    assert fetch(archive, tmp_path).read_bytes() == CONTENT


def test_ctrl_c_in_the_checksum_loses_nothing(
    archive: Archive, server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pooch.core, "hash_matches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(archive, tmp_path)
    assert partial_file(archive, tmp_path).stat().st_size == len(CONTENT)
    fetch(archive, tmp_path)
    assert server.requests == [None]
    assert names(tmp_path) == ["a.zip"]
