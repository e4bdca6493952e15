import json
import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mnv2_dense.errors import UserError
from mnv2_dense.training import runs
from mnv2_dense.training.runs import (
    BEST,
    LAST,
    PREVIOUS,
    RUN_VARIABLE,
    checkpoint_folder,
    create_run,
    describe_environment,
    describe_session,
    is_finished,
    newest_run,
    run_of,
    write_json,
)


@pytest.fixture(autouse=True)
def _no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_VARIABLE, "unused")


def add_run(output: Path, stamp: str, *, checkpoint: bool = True) -> Path:
    folder = checkpoint_folder(output / "name" / stamp)
    folder.mkdir(parents=True)
    if checkpoint:
        (folder / "last.ckpt").touch()
    return folder / "last.ckpt"


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    first, second, third = (create_run(tmp_path, "name") for _ in range(3))
    assert len({first, second, third}) == 3
    assert all(run.is_dir() and run.parent == tmp_path / "name" for run in (first, second, third))


def test_child_processes_find_their_parents_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run(tmp_path, "name")
    assert os.environ[RUN_VARIABLE] == str(run)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert create_run(tmp_path, "name") == run


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"choose another training\.output"):
        create_run(tmp_path / "file", "name")


def test_newest_is_by_start_and_has_a_checkpoint(tmp_path: Path) -> None:
    newest = add_run(tmp_path, "20260102-000000")
    add_run(tmp_path, "20260101-235959")
    add_run(tmp_path, "20260103-000000", checkpoint=False)
    assert newest_run(tmp_path, "name") == run_of(newest)


@pytest.mark.parametrize("kind", [LAST, PREVIOUS, BEST])
def test_a_run_with_any_checkpoint_counts(tmp_path: Path, kind: str) -> None:
    """A kill between two renames leaves a run without `last.ckpt` for the moment."""
    add_run(tmp_path, "20260102-000000")
    last = add_run(tmp_path, "20260103-000000")
    last.rename(last.with_name(kind))
    assert newest_run(tmp_path, "name") == run_of(last)


def test_newest_of_many_in_one_second(tmp_path: Path) -> None:
    paths = [add_run(tmp_path, f"20260102-000000{end}") for end in ("", "-2", "-9")]
    assert newest_run(tmp_path, "name") == run_of(paths[-1])


def test_no_run(tmp_path: Path) -> None:
    assert newest_run(tmp_path, "name") is None


def test_a_measured_run_is_finished(tmp_path: Path) -> None:
    assert not is_finished(tmp_path)
    write_json(tmp_path / "metrics.json", {})
    assert is_finished(tmp_path)


def test_run_of_a_checkpoint(tmp_path: Path) -> None:
    assert run_of(add_run(tmp_path, "1")) == tmp_path / "name" / "1"
    assert run_of(tmp_path / "moved.ckpt") is None


def test_environment_is_plain_and_complete(tmp_path: Path) -> None:
    write_json(tmp_path / "environment.json", describe_environment())
    content = json.loads((tmp_path / "environment.json").read_text())
    assert content["packages"]["torch"] in torch.__version__
    assert content["threads"] == torch.get_num_threads()
    assert content["command"]
    assert content["folder"] == str(Path.cwd())


def test_environment_where_git_and_a_package_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(runs, "_PACKAGES", ("no-such-package",))
    environment = describe_environment()
    assert environment["commit"] is None
    assert environment["packages"] == {"no-such-package": None}


def test_a_session_is_described_where_something_has_changed(tmp_path: Path) -> None:
    for config in ("a: 1\n", "a: 1\n", "a: 2\n", "a: 2\n", "a: 1\n"):
        describe_session(tmp_path, config)
    configs = {path.name: path.read_text() for path in tmp_path.glob("config*")}
    assert configs == {
        "config.yaml": "a: 1\n",
        "config-resumed-1.yaml": "a: 2\n",
        "config-resumed-2.yaml": "a: 1\n",
    }
    assert len(list(tmp_path.glob("environment*.json"))) == 3


@pytest.mark.parametrize("damaged", [True, False])
def test_a_run_whose_environment_is_lost_goes_on(tmp_path: Path, damaged: bool) -> None:
    describe_session(tmp_path, "a: 1\n")
    (tmp_path / "environment.json").unlink()
    if damaged:
        (tmp_path / "environment.json").write_text("{")
    describe_session(tmp_path, "a: 1\n")
    assert (tmp_path / "environment-resumed-1.json").is_file()
