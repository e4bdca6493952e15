"""Gradients and weights of one, two and three processes with the same global batch.

Network and loss compute in float64 (logits that are resized, in float32), so that a difference is
one of principle: in float32, rounding alone moves the gradient of a network with batch norms by
some thousandths. `--single` computes in float32, as a run does. One process whose first weights are
all one rounding error larger (written as 0 processes) shows how far rounding takes later steps.
"""

import argparse
import itertools
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from mnv2_dense.builders import build_data, build_task, read_split, settle_classes
from mnv2_dense.builders.trainer import build_trainer, prepare_process
from mnv2_dense.commands.session import quiet_lightning
from mnv2_dense.config.loader import load_config
from mnv2_dense.training.averaging import ExponentialAverage

GLOBAL_BATCH = 24
STEPS = (1, 5, 20)
PROCESSES = (0, 2, 3)
COMMON = (
    "training.ema_decay=0.9",
    "training.sync_batchnorm=true",
    "training.accelerator=cpu",
    "training.precision=32",
    "training.threads=1",
    "training.log_every=1",
    "training.validate_every=1000",
    "data.num_workers=0",
    "backbone.width_mult=0.35",
    "backbone.weights=null",
)


class Recorder(pl.Callback):
    """Keeps the samples of every step, and gradients, weights and averages after some."""

    def __init__(self, steps: Sequence[int]) -> None:
        self.steps = steps
        self.images: list[list[int]] = []
        self.checksums: list[list[float]] = []
        self.gradients: dict[int, dict[str, Tensor]] = {}
        self.weights: dict[int, dict[str, Tensor]] = {}
        self.averages: dict[int, dict[str, Tensor]] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps which pictures there are, and their sums."""
        self.images.append(list(batch.image_ids))
        self.checksums.append(batch.images.double().sum((1, 2, 3)).tolist())

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Keeps the gradient."""
        step = trainer.global_step + 1
        if step in self.steps:
            named = pl_module.network.named_parameters()
            self.gradients[step] = {n: p.grad.clone() for n, p in named if p.grad is not None}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Keeps weights and average."""
        step = trainer.global_step
        if step in self.steps:
            self.weights[step] = copy_of(pl_module.network)
            found = [each for each in trainer.callbacks if isinstance(each, ExponentialAverage)]
            for average in found:
                assert average._average_model is not None
                self.averages[step] = copy_of(average._average_model.module.network)


def copy_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers as they are now."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def run(
    config_path: Path,
    overrides: Sequence[str],
    steps: Sequence[int],
    out: Path,
    *,
    single: bool,
    nudged: bool,
) -> None:
    """Trains as one of the processes, and writes what it saw."""
    quiet_lightning()
    config = settle_classes(load_config(config_path, overrides))
    prepare_process(config)
    pl.seed_everything(config.training.seed, verbose=False)
    train, val = (read_split(config, split) for split in ("train", "val"))
    task = build_task(config, train.categories)
    if not single:
        task.network.double()
        normalize = task.normalize
        task.normalize = lambda images: normalize(images).double()
    if nudged:
        with torch.no_grad():
            for weight in task.network.parameters():
                weight.mul_(1 + torch.finfo(weight.dtype).eps)
    recorder = Recorder(steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(config, Path(folder), task.score)
        average = [isinstance(each, ExponentialAverage) for each in trainer.callbacks].index(True)
        trainer.callbacks.insert(average + 1, recorder)
        trainer.limit_val_batches = 0
        trainer.fit(task, datamodule=build_data(config, train, val))
    kept = ("images", "checksums", "gradients", "weights", "averages")
    found = {name: getattr(recorder, name) for name in kept}
    processes = 0 if nudged else trainer.world_size
    torch.save(found, out / f"{processes}-{trainer.global_rank}.pt")


def start(rank: int, processes: int, port: int, job: dict[str, Any]) -> None:
    """Begins one of the processes, as torchrun would."""
    if processes > 1:
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
        sizes = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        os.environ.update({name: str(value) for name, value in (ranks | sizes).items()})
        os.environ.update(TORCHELASTIC_RUN_ID="none", MASTER_ADDR="127.0.0.1")
        rank_zero_only.rank = rank
    devices = max(processes, 1)
    own = [f"training.devices={devices}", f"data.batch_size={GLOBAL_BATCH // devices}"]
    run(**{**job, "overrides": [*job["overrides"], *own]}, nudged=processes == 0)


def launch(job: dict[str, Any], numbers: Sequence[int]) -> None:
    """Trains with each number of processes, forked from this one."""
    fork = multiprocessing.get_context("fork")
    for processes in numbers:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started = [
            fork.Process(target=start, args=(rank, processes, port, job))
            for rank in range(max(processes, 1))
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[float, float]:
    """Largest absolute difference, and the norm of the difference by the norm of the first."""
    assert one.keys() == other.keys()
    first = torch.cat([value.double().flatten() for value in one.values()])
    second = torch.cat([value.double().flatten() for value in other.values()])
    apart = first - second
    return apart.abs().max().item(), (apart.norm() / first.norm()).item()


def report(steps: Sequence[int], out: Path, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """Rows: processes, step, what, largest absolute and relative difference."""
    found = {
        (world, rank): torch.load(out / f"{world}-{rank}.pt", weights_only=True)
        for world in numbers
        for rank in range(max(world, 1))
    }
    alone = found[1, 0]
    rows: list[tuple[Any, ...]] = []
    for world in numbers[1:]:
        ranks = [found[world, rank] for rank in range(max(world, 1))]
        for key in ("images", "checksums"):
            steps_together = zip(*(rank[key] for rank in ranks), strict=True)
            joined = [sorted(itertools.chain(*parts)) for parts in steps_together]
            assert joined == [sorted(step) for step in alone[key]], f"{key} of {world} differ"
        for step, what in itertools.product(steps, ("gradients", "weights", "averages")):
            for rank in ranks[1:]:
                same = difference(ranks[0][what][step], rank[what][step])
                assert same[0] == 0, f"{what} differ between the processes"
            rows.append((world, step, what, *difference(alone[what][step], ranks[0][what][step])))
    return rows


def main() -> None:
    """Trains, compares and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config_path", metavar="CONFIG", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key.path=value")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--processes", type=int, nargs="+", default=PROCESSES)
    parser.add_argument("--single", action="store_true", help="compute in float32")
    options = parser.parse_intermixed_args()
    most = max(options.steps)
    length = [f"training.max_steps={most}", f"training.epochs={most}"]
    overrides = [*COMMON, *length, *options.overrides]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        job = {**vars(options), "overrides": overrides, "out": Path(folder)}
        numbers = (1, *job.pop("processes"))
        launch(job, numbers)
        rows = report(options.steps, Path(folder), numbers)
    print("| processes | step | | largest difference | relative |\n|---|---|---|---|---|")
    for world, step, what, absolute, relative in rows:
        print(f"| {world} | {step} | {what} | {absolute:.1e} | {relative:.1e} |")


if __name__ == "__main__":
    main()
