"""The smallest data, network and run with which the commands can be checked."""

import importlib.util
import io
import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import DetectionConfig

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "ssdlite_shapes.yaml"
COCO_CONFIG = ROOT / "configs" / "ssdlite_coco.yaml"
TRAIN_IMAGES, VAL_IMAGES, BATCH, SIZE = 12, 6, 4, 64
STEPS = TRAIN_IMAGES // BATCH

NETWORK = (
    "backbone.width_mult=0.35",
    "head.width_mult=0.1",
    f"input.height={SIZE}",
    f"input.width={SIZE}",
    f"data.batch_size={BATCH}",
    f"data.val_batch_size={BATCH}",
    "data.num_workers=0",
    "schedule.warmup_steps=0",
    "training.epochs=1",
    "training.validate_every=1",
    "training.accelerator=cpu",
    "training.log_every=1",
)

Tool = Callable[..., "Outcome"]


class Outcome(NamedTuple):
    """What a user sees of a command: exit code and both streams."""

    code: int
    out: str
    err: str

    def require_success(self) -> "Outcome":
        assert self.code == 0, self.err + self.out
        return self


@cache
def load_tool(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        f"tool_{name}", ROOT / "tools" / f"{name}.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run_tool(name: str, *arguments: object) -> Outcome:
    """Runs `tools/NAME.py` in this process, as its command line would."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = load_tool(name).main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


def train(data: Path, output: Path, *arguments: object) -> Outcome:
    """Trains the tiny network on `data`; later arguments override the tiny ones."""
    return run_tool("train", CONFIG, *tiny_overrides(data, output), *arguments)


def tiny_overrides(data: Path, output: Path) -> list[str]:
    return [*NETWORK, f"data.root={data}", f"training.output={output}"]


def only_run(output: Path) -> Path:
    """The one run under an output folder."""
    (run,) = output.glob("*/*")
    return run


def checkpoint(run: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def same_weights(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two checkpoints hold the same weights, bit for bit."""
    one, other = first["state_dict"], second["state_dict"]
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def read_log(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    """The rows of a run's log."""
    header, *rows = (run / name).read_text().splitlines()
    return [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]


def logged(rows: Sequence[dict[str, str]], key: str) -> list[str]:
    return [row[key] for row in rows if row.get(key)]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and folder below, with the files' contents."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
    }


def config_of(data: Path, *overrides: str) -> DetectionConfig:
    return load_config(CONFIG, [*tiny_overrides(data, Path("runs")), *overrides])
