"""The smallest joint run with which the commands can be checked."""

from pathlib import Path

import torch

from mnv2_dense.config.loader import load_any_config
from mnv2_dense.config.schema import JointConfig
from tests.commands.tiny import ROOT, Outcome, run_tool

CONFIG = ROOT / "configs" / "joint_shapes.yaml"
BATCHES = {"detection": 4, "segmentation": 3}
SIZE = 64
NETWORK = (
    f"input.height={SIZE}",
    f"input.width={SIZE}",
    # The statistics of the last batch, as after few steps others mean nothing.
    "backbone.norm_momentum=1.0",
    "detection.head.width_mult=0.1",
    "segmentation.head.channels=16",
    "segmentation.head.aspp=none",
)
RUN = (
    *NETWORK,
    "schedule.warmup_steps=0",
    "training.epochs=1",
    "training.validate_every=1",
    "training.log_every=1",
    "training.report=false",
)


def overrides(data: Path, output: Path) -> list[str]:
    """Both data sets are the same folder."""
    parts = [
        text
        for part, batch in BATCHES.items()
        for text in (
            f"{part}.data.root={data}",
            f"{part}.data.batch_size={batch}",
            f"{part}.data.val_batch_size={batch}",
            f"{part}.data.num_workers=0",
        )
    ]
    return [*RUN, *parts, f"training.output={output}"]


def train_joint(data: Path, output: Path, *arguments: object) -> Outcome:
    """Trains the tiny network; later arguments override the tiny ones."""
    return run_tool("train", CONFIG, *overrides(data, output), *arguments)


def config_of(data: Path, *changes: str) -> JointConfig:
    config = load_any_config(CONFIG, [*overrides(data, Path("runs")), *changes])
    assert isinstance(config, JointConfig)
    return config


def spread_norms(network: torch.nn.Module) -> None:
    """Gives norms other statistics than the first, so that a wrong one is seen."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var):
                assert values is not None
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
