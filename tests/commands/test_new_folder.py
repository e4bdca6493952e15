import os
import signal
from pathlib import Path

import pytest

from mnv2_dense.commands.new_folder import new_folder
from mnv2_dense.errors import UserError


def fill(out: Path) -> None:
    with new_folder(out) as folder:
        (folder / "file").write_text("text")


def test_it_is_there_when_all_is_written(tmp_path: Path) -> None:
    fill(tmp_path / "deep" / "out")
    assert (tmp_path / "deep" / "out" / "file").read_text() == "text"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_link_to_an_empty_folder_leads_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fill(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").is_file()


@pytest.mark.parametrize("given", [".", "../empty"])
def test_the_current_folder_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError, match="cannot be replaced"), new_folder(Path(given)):
        pytest.fail("the work began")


@pytest.mark.parametrize("given", ["file", "full", "file/below"])
def test_what_is_there_stays(tmp_path: Path, given: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UserError, match="--out"):
        fill(tmp_path / given)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def stopped(out: Path) -> None:
    with new_folder(out) as folder:
        (folder / "file").touch()
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_leaves_nothing_behind(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        stopped(tmp_path / "out")
    assert caught.value.code == 143
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before
