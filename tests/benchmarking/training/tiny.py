"""The smallest networks that a training step can be timed of."""

from typing import Any

from mnv2_dense.benchmarking.training.subjects import SETTINGS

SMALL = {"height": 64, "width": 64}
TINY: dict[str, dict[str, Any]] = {
    task: {
        **settings,
        "input": SMALL,
        "backbone": {**settings.get("backbone", {}), "width_mult": 0.35},
        "data": {**settings["data"], "batch_size": 2},
    }
    for task, settings in SETTINGS.items()
}
