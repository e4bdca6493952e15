"""The smallest data, network and run with which the commands can be checked."""

import io
import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from mnv2_dense.config.loader import load_config
from mnv2_dense.config.schema import DetectionConfig, SegmentationConfig
from mnv2_dense.shapes.label_maps import LABEL_NAMES

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "ssdlite_shapes.yaml"
COCO_CONFIG = ROOT / "configs" / "ssdlite_coco.yaml"
SEGMENTATION_CONFIG = ROOT / "configs" / "deeplabv3_voc.yaml"
ASPP_CONFIG = ROOT / "configs" / "deeplabv3_aspp_voc.yaml"
TRAIN_IMAGES, VAL_IMAGES, BATCH, SIZE = 12, 6, 4, 64
STEPS = TRAIN_IMAGES // BATCH
WINDOW = SIZE + 1
"""Side of the segmenter's input: a multiple of the stride, and one."""

RUN = (
    "backbone.width_mult=0.35",
    f"data.batch_size={BATCH}",
    f"data.val_batch_size={BATCH}",
    "data.num_workers=0",
    "schedule.warmup_steps=0",
    "training.epochs=1",
    "training.validate_every=1",
    "training.accelerator=cpu",
    "training.log_every=1",
    "training.report=false",
)
NETWORK = (*RUN, "head.width_mult=0.1", f"input.height={SIZE}", f"input.width={SIZE}")
SEGMENTATION_NETWORK = (
    *RUN,
    "backbone.weights=null",
    # The statistics of the last batch: the release's momenta are for long runs, and after three
    # steps every pixel would be of one class.
    "backbone.norm_momentum=1.0",
    "head.norm_momentum=1.0",
    "head.channels=16",
    # Near its random beginning the network sees several classes, whatever the CPU's rounding.
    "optimizer.learning_rate=0.003",
    f"input.height={WINDOW}",
    f"input.width={WINDOW}",
    "training.precision=32",
    f"data.classes=[{', '.join(LABEL_NAMES)}]",
    "data.train_images=train2017",
    "data.train_masks=label_maps/train2017",
    "data.train_list=null",
    "data.val_images=val2017",
    "data.val_masks=label_maps/val2017",
    "data.val_list=null",
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


def load_tool(name: str) -> ModuleType:
    """What `tools/NAME.py` and `mnv2-dense NAME` run."""
    return import_module(f"mnv2_dense.command_line.{name}")


def run_tool(name: str, *arguments: object) -> Outcome:
    """Runs a command in this process, as its command line would."""
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


def train_segmenter(data: Path, output: Path, *arguments: object) -> Outcome:
    """Trains the tiny segmenter on `data`; later arguments override the tiny ones."""
    overrides = segmentation_overrides(data, output)
    return run_tool("train", SEGMENTATION_CONFIG, *overrides, *arguments)


def segmentation_overrides(data: Path, output: Path) -> list[str]:
    return [*SEGMENTATION_NETWORK, f"data.root={data}", f"training.output={output}"]


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
    config = load_config(CONFIG, [*tiny_overrides(data, Path("runs")), *overrides])
    assert isinstance(config, DetectionConfig)
    return config


def segmentation_config_of(data: Path, *overrides: str) -> SegmentationConfig:
    changes = [*segmentation_overrides(data, Path("runs")), *overrides]
    config = load_config(SEGMENTATION_CONFIG, changes)
    assert isinstance(config, SegmentationConfig)
    return config
