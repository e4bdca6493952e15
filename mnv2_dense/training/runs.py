"""The folder of a run: what it is called, what stands in it, which one is the newest.

A run is OUTPUT/NAME/DATE-TIME with `config.yaml` (every key as it was used),
`environment.json` (versions, hardware, command, commit), `checkpoints/` (best.ckpt, last.ckpt,
previous.ckpt: the last but one), `metrics.csv` and `tensorboard/` (the log), `bad_images.txt`
(skipped pictures, if any), `bad_steps.jsonl` (steps that were not finite, if any), `metrics.json`
(the final evaluation), `report.html` (the page of it all) and, of a detector, `detections.json`
and `errors.json`.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from mnv2_dense.errors import UserError
from mnv2_dense.ops.processor import processor_name
from mnv2_dense.training.durable import replace_durably

RUN_VARIABLE = "MNV2_DENSE_RUN"
"""Environment variable by which Lightning's child processes find the run of their parent."""

LAST, PREVIOUS, BEST, BROKEN = "last.ckpt", "previous.ckpt", "best.ckpt", "broken.ckpt"
"""A run's checkpoints. Broken is a last one that does not match its own checksum, or
has none."""

RESUMED_FROM = (LAST, PREVIOUS, BEST)
"""What a run goes on from: the first of these that is whole."""

_PACKAGES = (
    "mnv2-dense",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "albumentations",
    "pycocotools",
    "numpy",
)


def create_run(output: Path, name: str) -> Path:
    """A new folder OUTPUT/NAME/DATE-TIME, or the one that the parent process made.

    A process other than rank 0 that torchrun or SLURM started cannot know that one, and writes
    nothing: it gets a path where nothing is, and learns the true one when they are connected.
    """
    if rank_zero_only.rank != 0:  # pyrefly: ignore[missing-attribute]
        return Path(os.environ.get(RUN_VARIABLE, output / name / "of-process-0"))
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = output / name / stamp
    attempt = 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            attempt += 1
            folder = output / name / f"{stamp}-{attempt}"
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made: {error.strerror}; choose another training.output"
            ) from error
        else:
            os.environ[RUN_VARIABLE] = str(folder)
            return folder


def checkpoint_folder(run: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run / "checkpoints"


def newest_run(output: Path, name: str) -> Path | None:
    """The newest run of a name that has a checkpoint, or None."""
    found = {
        path.parents[1]
        for kind in RESUMED_FROM
        for path in (output / name).glob(f"*/{checkpoint_folder(Path()) / kind}")
    }
    return max(found, key=lambda run: run.name, default=None)


def is_finished(run: Path) -> bool:
    """Whether a run was trained to its end and its best checkpoint measured."""
    return (run / "metrics.json").exists()


def run_of(checkpoint: Path) -> Path | None:
    """The run that a checkpoint belongs to, or None if it lies outside of one."""
    folder = checkpoint.resolve().parent
    return folder.parent if folder.name == "checkpoints" else None


def describe_environment() -> dict[str, Any]:
    """Versions, hardware, command and commit of this process, in plain values."""
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
    }


def describe_session(run: Path, config: str) -> None:
    """Writes down by which config and where a run goes, as often as one of them changes.

    Args:
        run: Its folder.
        config: Every key, as YAML.
    """
    sessions = len(list(run.glob("config*.yaml")))
    environment = describe_environment()
    if sessions and _is_described(run, _suffix(sessions - 1), environment, config):
        return
    write_json(run / f"environment{_suffix(sessions)}.json", environment)
    path = run / f"config{_suffix(sessions)}.yaml"
    replace_durably(path, lambda file: file.write(config.encode()))


def _suffix(session: int) -> str:
    return f"-resumed-{session}" if session else ""


def _is_described(run: Path, suffix: str, environment: dict[str, Any], config: str) -> bool:
    try:
        before = json.loads((run / f"environment{suffix}.json").read_text())
        stored = (run / f"config{suffix}.yaml").read_text()
    except (OSError, ValueError):  # Not copied with the checkpoints, or damaged.
        return False
    own = {key: environment[key] for key in ("time", "command")}
    return {**before, **own} == environment and stored == config


def write_json(path: Path, content: object) -> None:
    """Writes JSON for people, indented, whole or not at all."""
    text = json.dumps(content, indent=2) + "\n"
    replace_durably(path, lambda file: file.write(text.encode()))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
