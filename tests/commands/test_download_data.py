import hashlib
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from mnv2_dense.commands import download_data as module
from mnv2_dense.commands.download_data import STORE, download_data
from mnv2_dense.downloading import resume, space
from mnv2_dense.downloading.catalog import CATALOG, DataSet
from mnv2_dense.downloading.sbd import AUGMENTED_LIST, AUGMENTED_MASKS
from tests.commands.tiny import Outcome, load_tool, run_tool
from tests.downloading.archives import coco_files, small_catalog, tar_of, voc_files
from tests.downloading.server import Behaviour, serve

TRAIN = "train2017.zip"
LARGE = 10**12


class Site(NamedTuple):
    server: Behaviour
    catalog: dict[str, DataSet]
    root: Path

    def run(self, *arguments: object) -> Outcome:
        return run_tool("download_data", *arguments, "--root", self.root)

    def files(self) -> dict[str, bytes]:
        """What lies in the root, without the folder of downloads."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        found = {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}
        return {name: found[name] for name in found if not name.startswith(f"{STORE}/")}

    def store(self) -> list[str]:
        return sorted(path.name for path in (self.root / STORE).iterdir())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A root and a server; the tool takes the server's small catalogue, and waits for nothing."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serve() as server:
        catalog = small_catalog(server)

        def small(name: str, *, root: Path, keep_archives: bool) -> None:
            options = {"catalog": catalog, "pauses": (0, 0)}
            download_data(name, root=root, keep_archives=keep_archives, **options)

        monkeypatch.setattr(module, "download_data", small)
        yield Site(server, catalog, tmp_path / "data")


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Presses Ctrl-C once at the given chunk of a download."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def at(chunk: int) -> None:
        steps = itertools.count(1)

        def update(bar: object, n: float | None = 1) -> None:
            if next(steps) == chunk:
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(resume.tqdm, "update", update)

    yield at
    signal.signal(signal.SIGINT, handler)


def all_coco() -> dict[str, bytes]:
    return {
        f"coco/{name}": content
        for files in coco_files().values()
        for name, content in files.items()
    }


def test_coco_arrives_where_the_config_looks(site: Site) -> None:
    outcome = site.run("coco").require_success()
    assert site.files() == all_coco()
    assert f"{site.root / 'coco'}: coco is complete" in outcome.out
    assert site.store() == [".lock", *sorted(f"{name}.files.txt" for name in coco_files())]


def test_a_second_call_fetches_nothing(site: Site) -> None:
    site.run("coco").require_success()
    site.server.requests.clear()
    assert "coco is complete, nothing to fetch" in site.run("coco").require_success().out
    assert site.server.requests == []


def test_a_lost_file_is_brought_back(site: Site) -> None:
    site.run("coco").require_success()
    (site.root / "coco" / "val2017" / "000000000001.jpg").unlink()
    site.server.requests.clear()
    site.run("coco").require_success()
    assert site.server.requests == [None]
    assert site.files() == all_coco()


def test_archives_can_be_kept(site: Site) -> None:
    site.run("coco", "--keep-archives").require_success()
    assert set(coco_files()) < set(site.store())


def test_an_archive_brought_by_hand_is_used_and_kept(site: Site) -> None:
    store = site.root / STORE
    store.mkdir(parents=True)
    (store / TRAIN).write_bytes(site.server.files.pop(TRAIN))
    site.run("coco").require_success()
    assert site.files() == all_coco()
    assert (store / TRAIN).exists()


def test_cut_connections_are_continued(site: Site) -> None:
    site.server.cuts = [LARGE, LARGE, 150_000, 100_000]
    outcome = site.run("coco").require_success()
    assert outcome.out.count("the connection broke off; trying again") == 2
    assert site.files() == all_coco()
    assert all((given or "bytes=").startswith("bytes=") for given in site.server.requests[3:])


def test_ctrl_c_keeps_what_has_come(site: Site, stop: Callable[[int], None]) -> None:
    stop(5)  # the third chunk of the third archive
    outcome = site.run("coco")
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "interrupted")
    held = (site.root / STORE / f"{TRAIN}.part").stat().st_size
    assert 0 < held < len(site.server.files[TRAIN])
    site.server.requests.clear()
    site.run("coco").require_success()
    assert site.server.requests == [f"bytes={held}-"]
    assert site.files() == all_coco()


def test_wrong_bytes_are_not_unpacked(site: Site) -> None:
    right = site.server.files[TRAIN]
    site.server.files[TRAIN] = right.replace(right[5000:5010], b"0123456789")
    outcome = site.run("coco")
    assert outcome.code == 2
    assert f"{TRAIN}: what came is not the file of the catalogue" in outcome.err
    assert not (site.root / "coco" / "train2017").exists()
    assert not [name for name in site.store() if name.startswith(TRAIN)]
    site.server.files[TRAIN] = right
    site.run("coco").require_success()
    assert site.files() == all_coco()


def test_a_file_of_the_users_is_named_and_kept(site: Site) -> None:
    mine = site.root / "coco" / "train2017" / "000000000001.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    outcome = site.run("coco")
    assert outcome.code == 2
    assert "train2017/000000000001.jpg; move them away" in outcome.err
    assert mine.read_bytes() == b"mine"
    assert list(mine.parent.iterdir()) == [mine]
    assert not [name for name in site.store() if name.endswith(".unpacking")]
    mine.unlink()
    site.server.requests.clear()
    site.run("coco").require_success()
    assert site.server.requests == []  # The archive had stayed.
    assert site.files() == all_coco()


def test_too_small_a_disk_is_named_beforehand(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(site.root.parent)._replace(free=300_000)

    def disk_usage(folder: Path) -> object:
        return usage

    monkeypatch.setattr(space.shutil, "disk_usage", disk_usage)
    outcome = site.run("coco")
    assert outcome.code == 2
    assert "too little disk space for coco" in outcome.err
    assert "300 kB free" in outcome.err
    assert site.server.requests == []
    assert site.files() == {}


def test_the_official_sizes_in_the_disk_check(tmp_path: Path) -> None:
    """All COCO archives and files would not fit; one archive at a time does."""
    archives = CATALOG["coco"].archives
    needed = sum(archive.unpacked for archive in archives) + archives[-1].size
    assert module._peak(archives, tmp_path, keep=False) == needed
    kept = needed + archives[0].size + archives[1].size
    assert module._peak(archives, tmp_path, keep=True) == kept
    os.truncate(_new(tmp_path / f"{archives[-1].name}.part"), 10**9)
    assert module._peak(archives, tmp_path, keep=False) == needed - 10**9


def _new(path: Path) -> Path:
    path.touch()
    return path


def test_two_at_once(site: Site) -> None:
    store = site.root / STORE
    store.mkdir(parents=True)
    with FileLock(store / ".lock"):
        outcome = site.run("coco")
    assert outcome.code == 2
    assert "another download into this folder is running" in outcome.err


def test_a_killed_calls_leftovers_are_no_hindrance(site: Site) -> None:
    leftover = site.root / STORE / f"{TRAIN}.unpacking" / "archive" / "old"
    leftover.mkdir(parents=True)
    site.run("coco").require_success()
    assert site.files() == all_coco()


def test_voc_then_sbd(site: Site) -> None:
    site.run("voc").require_success()
    assert site.files() == voc_files()
    outcome = site.run("sbd").require_success()
    assert "train_aug: 4 pictures" in outcome.out
    assert len(list((site.root / AUGMENTED_MASKS).iterdir())) == 4
    assert len((site.root / AUGMENTED_LIST).read_text().split()) == 4
    assert set(voc_files().items()) < set(site.files().items())
    site.server.requests.clear()
    site.run("sbd").require_success()
    assert site.server.requests == []


def test_sbd_without_voc(site: Site) -> None:
    outcome = site.run("sbd")
    assert outcome.code == 2
    assert "run `mnv2-dense download_data voc` with the same --root before" in outcome.err
    assert site.server.requests == []
    assert not site.root.exists()


def test_a_hostile_archive_writes_nothing(site: Site) -> None:
    content = tar_of({"../evil": b"1"})
    archive = site.catalog["voc"].archives[0]
    site.server.files[archive.name] = content
    hostile = archive._replace(md5=hashlib.md5(content).hexdigest(), size=len(content))
    site.catalog["voc"] = site.catalog["voc"]._replace(archives=(hostile,))
    outcome = site.run("voc")
    assert outcome.code == 2
    assert "members would be written outside" in outcome.err
    assert site.files() == {}
    assert not (site.root.parent / "evil").exists()


def test_an_unwritable_root(site: Site) -> None:
    site.root.write_text("a file")
    outcome = site.run("coco")
    assert outcome.code == 2
    assert str(site.root) in outcome.err


def test_help_names_every_data_set() -> None:
    outcome = run_tool("download_data", "--help")
    assert outcome.code == 0
    assert set(load_tool("download_data").DATA_SETS) == set(CATALOG)
    for name in (*CATALOG, "--root", "--keep-archives"):
        assert name in outcome.out


@pytest.mark.parametrize("arguments", [(), ("imagenet",), ("coco", "voc")])
def test_wrong_arguments(arguments: tuple[str, ...]) -> None:
    assert run_tool("download_data", *arguments).code == 2
