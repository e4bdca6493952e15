"""This project's own side: trained by tools/train.py, as any user would."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from mnv2_dense.builders import build_network, count_classes
from mnv2_dense.builders.parts import input_size
from mnv2_dense.config.loader import load_config
from mnv2_dense.errors import UserError
from mnv2_dense.ops.count import count_layers, sum_layers
from tools.compare.runs import Outcome, Run

ROOT = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).parent / "recipes"
LOG_EVERY = 5
"""Steps that a speed is measured over."""
NEVER = 1_000_000
"""Epochs: the steps end a run, and nothing is measured before that."""


def shared_overrides(run: Run, folder: Path) -> list[str]:
    """What a run gives to the product's config, whoever's network it trains."""
    return [
        f"name={run.name}",
        f"training.output={folder}",
        f"training.seed={run.seed}",
        f"training.max_steps={run.steps}",
        f"training.epochs={NEVER}",
        f"training.validate_every={NEVER}",
        f"training.log_every={min(LOG_EVERY, run.steps)}",
        f"data.batch_size={run.batch}",
        f"data.val_batch_size={run.batch}",
        "data.num_workers=0",
        f"input.height={run.size}",
        f"input.width={run.size}",
    ]


def settle(task: str, overrides: Sequence[str]) -> list[str]:
    """The overrides with the learning rate: the recipe's is of batch 8 from random weights."""
    config = load_config(RECIPES / f"{task}.yaml", overrides)
    share = 0.5 if config.backbone.weights else 1.0
    rate = config.optimizer.learning_rate * share * config.data.batch_size / 8
    return [*overrides, f"optimizer.learning_rate={rate}"]


def train_product(run: Run, overrides: Sequence[str], folder: Path) -> Outcome:
    """Trains a network of this project by its own command, and reads what the command wrote.

    An interrupted run goes on where it was: `folder` is that of the run and its sources alone.

    Raises:
        UserError: The command failed; its log is named.
    """
    recipe, log = RECIPES / f"{run.task}.yaml", folder / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "tools" / "train.py"), str(recipe), *overrides]
    with log.open("a", encoding="utf-8") as file:
        ended = subprocess.run([*command, "--resume=auto"], stdout=file, stderr=file, check=False)
    if ended.returncode:
        raise UserError(f"tools/train.py ended with {ended.returncode}; see {log}")
    trained = max(path.parent for path in (folder / run.name).glob("*/metrics.json"))
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    scores = {key: value for key, value in metrics.items() if isinstance(value, float)}
    config = load_config(recipe, overrides)
    network = build_network(config, count_classes(config))
    counts = sum_layers(count_layers(network, input_size(config)))
    seconds = median_seconds(trained / "metrics.csv", run.batch)
    return Outcome(scores, counts.parameters, counts.multiply_adds, seconds)


def median_seconds(log: Path, batch: int) -> float:
    """Seconds of a step by the log of a run, the median over its intervals."""
    with log.open(encoding="utf-8", newline="") as file:
        rates = [row["train/images_per_second"] for row in csv.DictReader(file)]
    return median(batch / float(rate) for rate in rates if rate)
