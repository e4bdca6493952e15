"""Exponential moving average of the weights, evaluated and saved in place of the last ones."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn


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
    of validation, when the weights are swapped, does not exchange the two; an update neither
    waits for the device nor walks through the modules.

    Args:
        decay: Decay per optimiser step, once the ramp has reached it.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=True)
        self.decay = decay
        self._swapped = False
        self._updates = 0
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the tensors to average, once: none is exchanged while a run goes."""
        average = self._average_model
        assert average is not None
        average.to(pl_module.device)  # Lightning made it before the network was moved there,
        _lay_out(average.module, pl_module)  # and before its weights were laid out.
        self._updates = int(average.n_averaged)
        pairs = [*zip(_tensors(average.module), _tensors(pl_module), strict=True)]
        self._pairs = [
            _unzip([pair for pair in pairs if pair[0].is_floating_point() is floating])
            for floating in (True, False)
        ]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Takes in a step, after its last batch."""
        if trainer.global_step <= self._latest_update_step:
            return
        assert self._average_model is not None
        (averages, weights), (counts, new_counts) = self._pairs
        if counts:
            torch._foreach_copy_(counts, new_counts)
        if self._updates:
            torch._foreach_lerp_(averages, weights, 1 - ema_decay(self.decay, self._updates))
        else:
            torch._foreach_copy_(averages, weights)
        self._average_model.n_averaged += 1
        self._updates += 1
        self._latest_update_step = trainer.global_step

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


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, the values alone."""
    return (each.detach() for each in chain(module.parameters(), module.buffers()))


@torch.no_grad()
def _lay_out(average: nn.Module, module: nn.Module) -> None:
    """Gives an average the memory format of its module, or PyTorch averages tensor by tensor."""
    for mine, theirs in zip(
        chain(average.parameters(), average.buffers()), _tensors(module), strict=True
    ):
        if mine.stride() != theirs.stride():
            mine.data = torch.empty_like(theirs).copy_(mine)


def _unzip(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def ema_callback(decay: float) -> ExponentialAverage:
    """Returns the callback for `training.ema_decay`."""
    return ExponentialAverage(decay)
