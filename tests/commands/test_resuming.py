import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mnv2_dense.commands.resuming import AUTO, NEWEST, find_checkpoint
from mnv2_dense.errors import UserError
from tests.commands.tiny import checkpoint, config_of

FAULTS = ("torn", "empty", "changed", "foreign", "text", "weights alone", "not finite")


def spoil(path: Path, fault: str) -> None:
    content = path.read_bytes()
    if fault == "not finite":
        spoil_weights(path, "state_dict")
    elif fault in ("foreign", "weights alone"):
        key = "weights" if fault == "foreign" else "state_dict"
        torch.save({key: {"weight": torch.ones(2)}}, path)
    else:
        changed = content.replace(b"state_dict", b"State_dict")
        spoilt = {"torn": content[:-100], "empty": b"", "changed": changed, "text": b"hello"}
        path.write_bytes(spoilt[fault])


def spoil_weights(path: Path, key: str) -> None:
    content = torch.load(path, weights_only=True)
    next(iter(content[key].values())).fill_(torch.nan)
    torch.save(content, path)


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, its last checkpoint but one beside the last."""
    run = shutil.copytree(
        trained_run, tmp_path / "runs" / trained_run.parent.name / "20260101-0000"
    )
    folder = run / "checkpoints"
    shutil.copy(folder / "last.ckpt", folder / "previous.ckpt")
    (run / "metrics.json").unlink()
    return run


def find(run: Path, wish: str | None) -> Path | None:
    config = config_of(Path("data"), f"training.output={run.parents[1]}", f"name={run.parent.name}")
    found = find_checkpoint(config, wish)
    return None if found is None else found.path


def test_a_new_run_needs_none(run: Path) -> None:
    assert find(run, None) is None


@pytest.mark.parametrize("wish", [NEWEST, AUTO])
def test_the_last_of_the_newest_run(run: Path, wish: str) -> None:
    newer = shutil.copytree(run, run.parent / "20260102-0000")
    assert find(run, wish) == newer / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("by_path", [False, True])
def test_a_broken_last_is_told_and_the_previous_taken(
    run: Path, fault: str, by_path: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    spoil(last, fault)
    assert find(run, str(last) if by_path else NEWEST) == run / "checkpoints" / "previous.ckpt"
    refusal, choice = capsys.readouterr().out.splitlines()
    assert refusal.startswith(f"{last}: ")
    step = checkpoint(run, "previous")["global_step"]
    assert choice == (
        f"going on from {run / 'checkpoints' / 'previous.ckpt'} instead, saved at step {step}"
    )


def test_a_kill_between_the_two_renames(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`last.ckpt` has become the previous one, and the new one is not yet in its place."""
    (run / "checkpoints" / "last.ckpt").unlink()
    assert find(run, AUTO) == run / "checkpoints" / "previous.ckpt"
    assert "last.ckpt: no such checkpoint file" in capsys.readouterr().out


def test_the_best_is_the_last_resort(run: Path) -> None:
    for name in ("last", "previous"):
        (run / "checkpoints" / f"{name}.ckpt").write_bytes(b"torn")
    assert find(run, NEWEST) == run / "checkpoints" / "best.ckpt"


def test_nothing_whole_names_the_newest(run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"last\.ckpt: cannot be read"):
        find(run, NEWEST)


def test_a_file_of_another_name_has_no_stand_in(run: Path) -> None:
    mine = run / "checkpoints" / "mine.ckpt"
    mine.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"mine\.ckpt: cannot be read"):
        find(run, str(mine))


def test_auto_begins_where_there_is_nothing_to_go_on_with(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "metrics.json").write_text("{}")
    assert find(run, AUTO) is None
    assert "no unfinished run" in capsys.readouterr().out
    shutil.rmtree(run)
    assert find(run, AUTO) is None


def test_newest_needs_one(run: Path) -> None:
    shutil.rmtree(run)
    with pytest.raises(UserError, match="leave --resume out to start a new run"):
        find(run, NEWEST)


UNUSABLE: dict[str, dict[str, Any]] = {
    "weights being trained": {"current_model_state": {"weight": torch.tensor([1.0, torch.inf])}},
    "momentum": {"optimizer_states": [{"state": {0: {"exp_avg": torch.tensor([torch.nan])}}}]},
    "a list of weights": {"current_model_state": [1]},
    "a number for a weight": {"state_dict": {"weight": 3}},
    "no epochs": {"loops": {"fit_loop": 3}},
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_what_a_run_cannot_go_on_with_is_told(
    run: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    torch.save(torch.load(last, weights_only=True) | UNUSABLE[fault], last)
    assert find(run, NEWEST) == last.with_name("previous.ckpt")
    assert len(capsys.readouterr().out.splitlines()) == 2
