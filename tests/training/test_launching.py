"""The real command in several processes: each run serves many questions."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mnv2_dense.shapes.dataset import generate
from tests.commands.ranks import LIMIT, Ended, run_ranks, slurm, torchrun
from tests.commands.tiny import (
    CONFIG,
    ROOT,
    SEGMENTATION_CONFIG,
    SIZE,
    checkpoint,
    logged,
    only_run,
    read_json,
    read_log,
    run_tool,
    segmentation_overrides,
    tiny_overrides,
)

GLOBAL = (
    *("training.sync_batchnorm=true", "training.ema_decay=0.9"),
    *("optimizer.name=sgd", "optimizer.learning_rate=0.001"),
)
"""With these, several processes do what one does."""

SHARE = ("data.batch_size=2", "data.val_batch_size=1")
TWO = ("data.batch_size=2", "training.devices=2")


def files(folder: Path) -> set[str]:
    """What stands below a run; TensorBoard puts a time into its names."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return {re.sub(r"tfevents.*", "tfevents", name) for name in names}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """17 pictures, two steps of six; 5 to validate, of which three processes get 2, 2 and 1."""
    root = tmp_path_factory.mktemp("uneven") / "shapes"
    generate(root, train_images=17, val_images=5, size=SIZE, seed=0)
    return root


@pytest.fixture(scope="module")
def alone(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector trained by one process."""
    output = tmp_path_factory.mktemp("alone")
    overrides = [*tiny_overrides(uneven, output), *GLOBAL, "data.batch_size=6"]
    run_tool("train", CONFIG, *overrides).require_success()
    return only_run(output)


@pytest.fixture(scope="module")
def detector(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ended]]:
    """The same by three processes of SLURM."""
    output = tmp_path_factory.mktemp("detector")
    overrides = [*tiny_overrides(uneven, output / "runs"), *GLOBAL, *SHARE]
    ended = run_ranks(slurm(3), output, CONFIG, *overrides, "training.devices=3")
    assert [each.code for each in ended] == [0, 0, 0], ended
    return only_run(output / "runs"), ended


@pytest.fixture(scope="module")
def segmenter(uneven: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ended]]:
    """A segmenter by torchrun's process on each of three machines."""
    output = tmp_path_factory.mktemp("segmenter")
    overrides = [*segmentation_overrides(uneven, output / "runs"), *GLOBAL, *SHARE]
    nodes = ["training.devices=1", "training.num_nodes=3"]
    ended = run_ranks(torchrun(3, nodes=3), output, SEGMENTATION_CONFIG, *overrides, *nodes)
    assert [each.code for each in ended] == [0, 0, 0], ended
    return only_run(output / "runs"), ended


@pytest.mark.parametrize("state", ["state_dict", "current_model_state"])
def test_averages_weights_and_statistics_are_those_of_one_process(
    alone: Path, detector: tuple[Path, list[Ended]], state: str
) -> None:
    """As close as float32 lets them be: rounding moves a step's gradient by thousandths."""
    one, three = (checkpoint(folder)[state] for folder in (alone, detector[0]))
    assert one.keys() == three.keys()
    first, second = (torch.cat([v.double().flatten() for v in x.values()]) for x in (one, three))
    assert (first - second).norm() < 2e-3 * first.norm()


def test_only_the_first_process_writes_and_speaks(
    alone: Path, detector: tuple[Path, list[Ended]], segmenter: tuple[Path, list[Ended]]
) -> None:
    assert files(detector[0]) == files(alone)
    for _, ended in (detector, segmenter):
        assert ended[0].out.count("run folder ") == 1
        assert {text for each in ended[1:] for text in each[1:]} == {""}


@pytest.mark.parametrize(("trained", "score"), [("detector", "mAP"), ("segmenter", "mIoU")])
def test_measured_exactly_within_the_run_and_at_its_end(
    trained: str, score: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Everything: the twelve numbers and all classes, or the confusion matrix and all classes."""
    run, _ = request.getfixturevalue(trained)
    one = ["training.devices=1", "training.num_nodes=1", "--out", tmp_path / "one"]
    run_tool("evaluate", run / "checkpoints" / "best.ckpt", *one).require_success()
    measured = read_json(tmp_path / "one" / "metrics.json")
    assert measured == read_json(run / "metrics.json")
    (within,) = logged(read_log(run), f"val/{score}")
    assert float(within) == pytest.approx(measured[score], abs=1e-6)


@pytest.mark.parametrize(
    ("fault", "codes", "line"),
    [
        ("mistake,1,training_step,1", {2}, "error in process 1: picture.jpg: the image cannot"),
        ("bug,0,validation_step,0", {1}, "error in process 0:"),
        ("SIGKILL,1,training_step,1", {1, -9}, "stopped because another process was lost"),
    ],
)
def test_a_fault_ends_all_and_is_said_once(
    fault: str, codes: set[int], line: str, shapes_set: Path, tmp_path: Path
) -> None:
    overrides = tiny_overrides(shapes_set, tmp_path / "runs")
    ended = run_ranks(torchrun(2), tmp_path, CONFIG, *overrides, *TWO, fault=fault)
    assert {each.code for each in ended} == codes, ended
    said = "".join(each.err for each in ended)
    assert said.count(line) == 1
    assert said.count("Traceback") == said.count("KeyError: 'a bug of ours'") == ("bug" in fault)
    assert len(said.splitlines()) <= 2 or "bug" in fault


@pytest.mark.parametrize("received_by", ["1", "all"])
def test_a_signal_to_any_process_saves_once_and_ends_all(
    received_by: str, shapes_set: Path, tmp_path: Path
) -> None:
    overrides = tiny_overrides(shapes_set, tmp_path / "runs")
    fault = f"SIGTERM,{received_by},training_step,1"
    ended = run_ranks(torchrun(2), tmp_path, CONFIG, *overrides, *TWO, fault=fault)
    assert [each.code for each in ended] == [143, 143], ended
    assert ended[0].out.count("terminated at step 2; resume with --resume") == 1
    assert ended[1].out + ended[0].err + ended[1].err == ""
    assert checkpoint(only_run(tmp_path / "runs"))["global_step"] == 2


def start(fault: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes, of which the command itself starts the other one."""
    script = ROOT / "tests" / "commands" / "faulty.py"
    return subprocess.run(
        [sys.executable, script, CONFIG, *map(str, arguments), *TWO],
        env={**os.environ, "FAULT": fault, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.long
def test_a_process_that_the_command_started_is_killed(shapes_set: Path, tmp_path: Path) -> None:
    """Lightning alone would kill the first process too: exit code 137, and not a word."""
    done = start("SIGKILL,1,training_step,1", *tiny_overrides(shapes_set, tmp_path))
    assert done.returncode == 1
    assert done.stderr == "stopped because process 1 was killed by signal 9\n"


@pytest.mark.long
def test_resume_auto_goes_on_in_the_one_run_folder(shapes_set: Path, tmp_path: Path) -> None:
    """Started by the command itself, then by torchrun; the last checkpoint is torn in between."""
    overrides = [*tiny_overrides(shapes_set, tmp_path / "runs"), "--resume", "auto"]
    often = "training.save_every_minutes=0.00001"
    first = start("SIGTERM,0,training_step,1", *overrides, often)
    assert (first.returncode, first.stderr) == (143, ""), first
    assert first.stdout.count("no unfinished run") == 1
    run = only_run(tmp_path / "runs")
    assert [checkpoint(run, name)["global_step"] for name in ("last", "previous")] == [2, 1]
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-100])
    ended = run_ranks(torchrun(2), tmp_path, CONFIG, *overrides, *TWO)
    assert [each.code for each in ended] == [0, 0], ended
    for said in ("last.ckpt: ", "previous.ckpt instead, saved at step 1", f"run folder {run}"):
        assert ended[0].out.count(said) == 1
    assert ended[1].out + ended[0].err + ended[1].err == ""
    assert only_run(tmp_path / "runs") == run
    assert [row["step"] for row in read_log(run) if row["train/loss"]] == ["0", "1", "2"]
