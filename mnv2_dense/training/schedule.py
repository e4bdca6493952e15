"""Learning rate over the run, as a factor of its peak."""

import math
from collections.abc import Sequence


def learning_rate_factor(
    step: int,
    *,
    total_steps: int,
    name: str,
    warmup_steps: int,
    warmup_factor: float,
    final_factor: float,
    power: float,
    milestones: Sequence[float],
    gamma: float,
) -> float:
    """Returns the factor of the peak learning rate that optimiser step `step` uses.

    The factor rises linearly from `warmup_factor` at step 0 to 1 at step `warmup_steps`; the
    named shape runs over the steps that are left and would reach its end at `total_steps`.
    A warm-up longer than the run is allowed, so that a shortened trial of a config works: the
    run then ends within the warm-up.

    Args:
        step: Optimiser step, counted from 0; at or beyond `total_steps` the end value stays.
        total_steps: Optimiser steps of the run.
        name: `constant`, `cosine`, `poly` or `step`.
        warmup_steps: Steps of the linear warm-up.
        warmup_factor: Factor at step 0 when there is a warm-up.
        final_factor: Factor that cosine and poly end at.
        power: Exponent of poly.
        milestones: Shares of the whole run, warm-up included, at which `step` multiplies the
            rate by `gamma`.
        gamma: Factor of each milestone.

    Raises:
        ValueError: `name` is none of the four.
    """
    if name not in ("constant", "cosine", "poly", "step"):
        raise ValueError(f"schedule {name!r} is not one of constant, cosine, poly, step")
    if step < warmup_steps:
        return warmup_factor + (1 - warmup_factor) * step / warmup_steps
    if name == "constant":
        return 1.0
    if name == "step":
        # Rounded: 0.7 * 1000 is a little above 700 in floating point.
        return gamma ** sum(step >= round(share * total_steps) for share in milestones)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    shape = (1 + math.cos(math.pi * progress)) / 2 if name == "cosine" else (1 - progress) ** power
    return final_factor + (1 - final_factor) * shape
