"""Exponential moving average of the weights, evaluated and saved in place of the last ones."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def ema_decay(decay: float, updates: int) -> float:
    """Returns the decay after `updates` updates: (1 + n) / (10 + n), at most `decay`.

    Without this ramp a run shorter than 1 / (1 - decay) steps would evaluate little but its
    initial weights.

    Source: TensorFlow `tf.train.ExponentialMovingAverage`, argument `num_updates`.
    """
    return min(decay, (1 + updates) / (10 + updates))


class ExponentialAverage(WeightAveraging):
    """Lightning's weight averaging with a decay ramp, and two repairs.

    Parameters and floating-point buffers (the running statistics of batch norm) are
    averaged; integer buffers are copied. The average is swapped in for validation, stands in
    a checkpoint's `state_dict`, and is what the module holds after `fit`; the weights being
    trained are under `current_model_state`, for resuming.

    Differs from Lightning's `EMAWeightAveraging`: the decay has a ramp; a buffer of constants
    stays exact, since lerp of equal numbers is the number; a checkpoint saved in the middle
    of validation, when the weights are swapped, does not exchange the two.

    Args:
        decay: Decay per optimiser step, once the ramp has reached it.
    """

    def __init__(self, decay: float) -> None:
        def average(averages: Any, current: Any, updates: Tensor | int) -> None:
            _lerp(averages, current, 1 - ema_decay(decay, int(updates)))

        super().__init__(use_buffers=True, multi_avg_fn=average)
        self._swapped = False

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Puts the average into `state_dict`, also while it is swapped in."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._swapped:
            averaged = checkpoint["current_model_state"]
            checkpoint["current_model_state"] = checkpoint["state_dict"]
            checkpoint["state_dict"] = averaged

    def _swap_models(self, pl_module: LightningModule) -> None:
        super()._swap_models(pl_module)
        self._swapped = not self._swapped


def _lerp(averages: list[Tensor], current: list[Tensor], weight: float) -> None:
    """Moves each average towards the current value; tensors of one device and dtype."""
    if torch.is_floating_point(averages[0]):
        torch._foreach_lerp_(averages, current, weight)
    else:
        torch._foreach_copy_(averages, current)


def ema_callback(decay: float) -> ExponentialAverage:
    """Returns the callback for `training.ema_decay`."""
    return ExponentialAverage(decay)
