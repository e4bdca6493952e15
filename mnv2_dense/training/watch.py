"""Watching the numbers of a run: bad steps stop it or are left out, an explosion stops it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, distributed
from torch.optim import Optimizer

from mnv2_dense.errors import UserError
from mnv2_dense.ops.processes import gather, is_shared
from mnv2_dense.training.advice import advise
from mnv2_dense.training.bad_steps import FILE, BadStep, StepBatch
from mnv2_dense.training.divergence import STEPS, LossHistory
from mnv2_dense.training.left_out import leave_out, nothing_to_learn
from mnv2_dense.training.progress import tell


class _Gradient(NamedTuple):
    """The gradient of a step: the norms [P] of the parameters named, not yet read."""

    step: int
    epoch: int
    batches: list[StepBatch]
    names: list[str]
    norms: Tensor


class NumericalWatch(Callback):
    """Stops a run whose loss or gradient is not finite in any process, or whose loss explodes.

    A bad step is written to `bad_steps.jsonl`, with the pictures of all processes. The first
    `skips` of a run are left out: weights, the optimiser's state, running statistics and weight
    average stay as they were, data and schedule go on. The next one ends the run, and nothing
    is saved after it. With accumulation a bad batch leaves out its whole optimiser step.

    Nothing waits for the device but the reading of a batch's loss, which ends with the forward
    pass. The gradient's norms are read together with the next loss, or before a validation or a
    checkpoint; only where its step may be left out they are read before the optimiser's step. A
    gradient that fp16's scaler deals with is not looked at. With several processes one number a
    batch is exchanged, so that all decide alike.

    Args:
        run: Folder of the run; None writes nothing.
        skips: Bad steps that may be left out in the whole run.
        divergence_factor: See `LossHistory`; None never stops for it.
    """

    def __init__(
        self, run: Path | None = None, *, skips: int = 0, divergence_factor: float | None = None
    ) -> None:
        self.run = run
        self.skips = skips
        self.divergence_factor = divergence_factor
        self.skipped = 0
        self.history = LossHistory()
        self._unread: _Gradient | None = None
        self._begin_step()

    def _begin_step(self, buffers: Sequence[Tensor] = ()) -> None:
        self._batches: list[StepBatch] = []
        self._losses: list[float] = []
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
            UserError: The loss, or the gradient of the step before, is not finite in any process.
        """
        trainer = pl_module.trainer
        values = {name: value.detach() for name, value in losses.items()}
        batch = StepBatch(trainer.fit_loop.batch_idx, image_ids, values)
        self._batches.append(batch)
        mean, norm = self._read(values["loss"].float())
        self._require_finite_gradient(trainer, norm)
        if torch.isfinite(mean):
            self._losses.append(float(mean))
        elif not self._left_out:
            place = (trainer.global_step, trainer.current_epoch)
            self._meet(trainer, BadStep("loss", *place, gather([batch.as_dict()])))
            self._left_out = True
        return nothing_to_learn(pl_module) if self._left_out else losses["loss"]

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Looks at the whole gradient, and at the loss of the step over all its batches.

        Raises:
            UserError: The gradient is not finite, or the loss has exploded.
        """
        if not self._left_out and getattr(trainer.precision_plugin, "scaler", None) is None:
            self._look_at_gradient(trainer, pl_module)
        if self._left_out:
            leave_out(trainer, optimizer, self._buffers)
            return
        self.history.add(sum(self._losses) / len(self._losses))
        factor = self.divergence_factor
        if factor is not None and self.history.exploded(factor):
            raise UserError(self._explosion(trainer, factor))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the last gradient before the network is measured."""
        self._require_finite_gradient(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Looks at the last gradient before the network takes the place of a good one."""
        self._require_finite_gradient(trainer)

    @property
    def _may_skip(self) -> bool:
        return self.skipped < self.skips

    def _read(self, loss: Tensor) -> tuple[Tensor, Tensor | None]:
        """The mean loss of all processes and the unread gradient's norm, on the CPU."""
        mean = loss.clone()
        if is_shared():
            distributed.all_reduce(mean)
            mean /= distributed.get_world_size()
        unread = [] if self._unread is None else [self._unread.norms.sum()]
        read = torch.stack([mean, *unread]).cpu()
        return read[0], read[1] if unread else None

    def _look_at_gradient(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parameters = pl_module.named_parameters()
        gradients = {name: each.grad for name, each in parameters if each.grad is not None}
        norms = torch.stack(torch._foreach_norm(list(gradients.values())))
        place = (trainer.global_step, trainer.current_epoch)
        self._unread = _Gradient(*place, self._batches, list(gradients), norms)
        if self._may_skip:
            self._left_out = self._meets_bad_gradient(trainer)

    def _require_finite_gradient(self, trainer: Trainer, norm: Tensor | None = None) -> None:
        if self._unread is not None:
            self._meets_bad_gradient(trainer, norm)

    def _meets_bad_gradient(self, trainer: Trainer, norm: Tensor | None = None) -> bool:
        """Whether the unread gradient is bad; its sum of norms may have been read already."""
        unread, self._unread = self._unread, None
        assert unread is not None
        if torch.isfinite(unread.norms.sum() if norm is None else norm):
            return False
        each_finite = torch.isfinite(unread.norms).tolist()
        bad = [name for name, finite in zip(unread.names, each_finite, strict=True) if not finite]
        processes = gather([batch.as_dict() for batch in unread.batches])
        self._meet(trainer, BadStep("gradient", unread.step, unread.epoch, processes, bad))
        return True

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

    def _explosion(self, trainer: Trainer, factor: float) -> str:
        step, history = trainer.global_step, self.history
        return (
            f"the training loss has exploded: the median of the {STEPS} steps up to step {step}, "
            f"epoch {trainer.current_epoch}, is {history.at_last:.4g}, more than "
            f"training.divergence_factor={factor:g} times that of the first {STEPS} "
            f"({history.at_first:.4g}); {advise(trainer, self.run, step + 1 - STEPS)}"
        )


def watch_of(trainer: Trainer) -> NumericalWatch:
    """The watch of a trainer; where it has none, one that stops at the first bad loss."""
    found = [each for each in trainer.callbacks if isinstance(each, NumericalWatch)]  # pyrefly: ignore[missing-attribute]
    return found[0] if found else NumericalWatch()
