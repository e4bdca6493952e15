"""Watching the numbers of a run: bad steps stop it or are left out, an explosion stops it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, distributed
from torch.optim import Optimizer

from mnv2_dense.errors import UserError
from mnv2_dense.ops.processes import gather, is_shared
from mnv2_dense.training.advice import advise
from mnv2_dense.training.bad_steps import FILE, BadStep, StepBatch, TakenStep
from mnv2_dense.training.divergence import STEPS, LossHistory
from mnv2_dense.training.left_out import leave_out, nothing_to_learn
from mnv2_dense.training.progress import tell
from mnv2_dense.training.reading import Reading


class NumericalWatch(Callback):
    """Stops a run whose loss or gradient is not finite in any process, or whose loss explodes.

    A bad step is written to `bad_steps.jsonl`, with the pictures of all processes. The first
    `skips` of a run are left out: weights, the optimiser's state, running statistics and weight
    average stay as they were, data and schedule go on. The next one ends the run, and nothing
    is saved after it. With accumulation a bad batch leaves out its whole optimiser step.

    Nothing waits for the device: a step is judged a step later, or before a validation or a
    checkpoint. Only where steps may be left out, a loss is read before the backward pass and the
    gradient before the optimiser's step. A gradient that fp16's scaler deals with is not looked
    at. With several processes one number a batch is exchanged, so that all decide alike.

    Args:
        run: Folder of the run; None writes nothing.
        skips: Bad steps that may be left out in the whole run.
        divergence_factor: See `LossHistory`; None never stops for it.
        at_once: Judge every loss as it comes, as where no hook is called.
    """

    def __init__(
        self,
        run: Path | None = None,
        *,
        skips: int = 0,
        divergence_factor: float | None = None,
        at_once: bool = False,
    ) -> None:
        self.run = run
        self.skips = skips
        self.divergence_factor = divergence_factor
        self.at_once = at_once
        self.skipped = 0
        self.history = LossHistory()
        self._taken: TakenStep | None = None
        self._begin_step()

    def _begin_step(self, buffers: Sequence[Tensor] = ()) -> None:
        self._batches: list[StepBatch] = []
        self._losses: list[Tensor] = []
        self._buffers = buffers
        self._left_out = False

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from, in plain values."""
        return {"skipped": self.skipped, **self.history.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what the run has counted before."""
        self.skipped = state_dict["skipped"]
        self.history = LossHistory(state_dict["first"], state_dict["last"])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begins a step with its first batch."""
        if batch_idx % trainer.accumulate_grad_batches:
            return
        # A forward pass that fails has already spoilt the running statistics.
        self._begin_step([each.clone() for each in pl_module.buffers()] if self._may_skip else ())

    def check(
        self,
        pl_module: LightningModule,
        losses: Mapping[str, Tensor],
        image_ids: Sequence[int | str],
    ) -> Tensor:
        """The loss to go back from: the one given, or nothing if its step is left out.

        To be called in a training step.

        Args:
            pl_module: The task.
            losses: `loss`, which is minimised, and its terms, by name: scalars.
            image_ids: Pictures of the batch.

        Raises:
            UserError: The loss is not finite in any process, where it is judged at once.
        """
        trainer = pl_module.trainer
        values = {name: value.detach() for name, value in losses.items()}
        batch = StepBatch(trainer.fit_loop.batch_idx, image_ids, values)
        self._batches.append(batch)
        self._losses.append(_mean_loss(values["loss"].float()))
        if (self.at_once or self._may_skip) and not self._left_out:
            self._require_finite_loss(trainer)
        return nothing_to_learn(pl_module) if self._left_out else losses["loss"]

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Judges the step before; this one, too, if it may be left out.

        Raises:
            UserError: A loss or gradient is not finite, or the loss has exploded.
        """
        self._judge(trainer)
        if not self._left_out:
            self._taken = self._take(trainer, pl_module)
        if self._may_skip:
            self._judge(trainer)
        if self._left_out:
            leave_out(trainer, optimizer, self._buffers)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judges the last step before the network is measured."""
        self._judge(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Judges the last step before the network takes the place of a good one."""
        self._judge(trainer)
        if self.state_key in checkpoint.get("callbacks", {}):  # It was asked for before.
            checkpoint["callbacks"][self.state_key] = dict(self.state_dict())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judges the last step."""
        self._judge(trainer)

    @property
    def _may_skip(self) -> bool:
        return self.skipped < self.skips

    def _require_finite_loss(self, trainer: Trainer) -> None:
        if torch.isfinite(self._losses[-1]):
            return
        place = (trainer.global_step, trainer.current_epoch)
        self._meet(trainer, BadStep("loss", *place, gather([self._batches[-1].as_dict()])))
        self._left_out = True

    def _take(self, trainer: Trainer, pl_module: LightningModule) -> TakenStep:
        """The present step, whose numbers are now on their way."""
        gradients: dict[str, Tensor] = {}
        if getattr(trainer.precision_plugin, "scaler", None) is None:
            parameters = pl_module.named_parameters()
            gradients = {name: each.grad for name, each in parameters if each.grad is not None}
        norms = torch._foreach_norm([*gradients.values()] or [torch.zeros_like(self._losses[0])])
        numbers = Reading(torch.stack([*self._losses, torch.stack(norms).sum().float()]))
        place = (trainer.global_step, trainer.current_epoch)
        return TakenStep(*place, self._batches, [*gradients], norms, numbers)

    def _judge(self, trainer: Trainer) -> None:
        """Judges the step that waits for it, if one does."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        loss, bad = taken.judge()
        if bad is not None:
            names = taken.bad_names() if bad == "gradient" else []
            processes = gather([batch.as_dict() for batch in taken.batches])
            self._meet(trainer, BadStep(bad, taken.step, taken.epoch, processes, names))
            self._left_out = True
            return
        self.history.add(loss)
        factor = self.divergence_factor
        if factor is not None and self.history.exploded(factor):
            raise UserError(self._explosion(trainer, taken, factor))

    def _meet(self, trainer: Trainer, bad: BadStep) -> None:
        """Writes a bad step down, and counts it.

        Raises:
            UserError: No more may be left out.
        """
        where = ""
        if self.run is not None:
            where = f" (all in {self.run / FILE})"
            if trainer.is_global_zero:
                bad.append_to(self.run / FILE, left_out=self._may_skip)
        message = f"{bad.message()}{where}"
        if not self._may_skip:
            before = f"; {self.skipped} steps were left out before it" if self.skipped else ""
            raise UserError(f"{message}{before}; {advise(trainer, self.run, bad.step)}")
        self.skipped += 1
        tell(f"{message}; the step is left out, {self.skipped} of {self.skips} that may be")

    def _explosion(self, trainer: Trainer, taken: TakenStep, factor: float) -> str:
        step, history = taken.step, self.history
        return (
            f"the training loss has exploded: the median of the {STEPS} steps up to step {step}, "
            f"epoch {taken.epoch}, is {history.at_last:.4g}, more than "
            f"training.divergence_factor={factor:g} times that of the first {STEPS} "
            f"({history.at_first:.4g}); {advise(trainer, self.run, step + 1 - STEPS)}"
        )


def watch_of(trainer: Trainer) -> NumericalWatch:
    """The watch of a trainer; where it has none, one that stops at the first bad loss."""
    found = [each for each in trainer.callbacks if isinstance(each, NumericalWatch)]  # pyrefly: ignore[missing-attribute]
    return found[0] if found else NumericalWatch(at_once=True)


def _mean_loss(loss: Tensor) -> Tensor:
    """The mean of a loss over all processes, on its device."""
    mean = loss.clone()
    if is_shared():
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    return mean
