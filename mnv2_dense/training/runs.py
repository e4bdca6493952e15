"""The folder of a run: what it is called, what stands in it, which one is the newest.

A run is OUTPUT/NAME/DATE-TIME with `config.yaml` (every key as it was used),
`environment.json` (versions, hardware, command, commit), `checkpoints/` (best.ckpt,
last.ckpt), `metrics.csv` and `tensorboard/` (the log), `bad_images.txt` (skipped pictures, if
any), `metrics.json` and `detections.json` (the final evaluation).
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

RUN_VARIABLE = "MNV2_DENSE_RUN"
"""Environment variable by which Lightning's child processes find the run of their parent."""

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
    """A new folder OUTPUT/NAME/DATE-TIME, or the one that the parent process made."""
    if RUN_VARIABLE in os.environ and rank_zero_only.rank != 0:  # pyrefly: ignore[missing-attribute]
        return Path(os.environ[RUN_VARIABLE])
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


def set_log_aside(run: Path) -> None:
    """Renames `metrics.csv` to `metrics-1.csv`, `-2` ...: the logger would delete it."""
    log = run / "metrics.csv"
    if log.exists():
        log.rename(run / f"metrics-{len(list(run.glob('metrics-*.csv'))) + 1}.csv")


def newest_checkpoint(output: Path, name: str) -> Path:
    """The last checkpoint of the newest run of a name that has one.

    Raises:
        UserError: No run of that name has a checkpoint.
    """
    found = sorted((output / name).glob("*/checkpoints/last.ckpt"))
    if not found:
        raise UserError(
            f"--resume: no {output / name}/*/checkpoints/last.ckpt; give the checkpoint's path, or "
            "leave --resume out to start a new run"
        )
    return max(found, key=lambda path: path.parent.parent.name)


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
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
    }


def write_json(path: Path, content: object) -> None:
    """Writes JSON for people: indented, with a newline at the end."""
    path.write_text(json.dumps(content, indent=2) + "\n")


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
