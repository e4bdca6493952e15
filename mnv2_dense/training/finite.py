"""Stopping a run whose loss has left the numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from mnv2_dense.errors import UserError

_NAMED_IMAGES = 8


def check_finite(loss: Tensor, *, step: int, epoch: int, image_ids: Sequence[int] = ()) -> None:
    """Raises if the loss is NaN or infinite in any process.

    To be called before the backward pass, so that neither weights nor a checkpoint ever hold
    the result. Reading the loss waits for the device to finish the forward pass; on a GPU
    this costs the launches that could have been queued meanwhile, some 0.1 ms a step. With
    several processes one number is exchanged, so that all of them stop together.

    Args:
        loss: Loss of this step, any shape.
        step: Optimiser steps taken before this one.
        epoch: Epoch, from 0.
        image_ids: Images of the batch, named in the message.

    Raises:
        UserError: The loss is not finite.
    """
    bad = ~torch.isfinite(loss.detach()).all()
    anywhere = bad.float()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(anywhere, op=distributed.ReduceOp.MAX)
    if not anywhere.item():
        return
    where = _images(image_ids) if bad.item() else " in another process"
    value = f"{loss.detach().sum().item()}" if bad.item() else "not finite"
    raise UserError(
        f"the training loss is {value} at step {step}, epoch {epoch}{where}; the checkpoints "
        "saved before it are intact. Lower optimizer.learning_rate, lengthen "
        "schedule.warmup_steps or set training.gradient_clip_norm"
    )


def _images(image_ids: Sequence[int]) -> str:
    if not image_ids:
        return ""
    named = ", ".join(str(image_id) for image_id in image_ids[:_NAMED_IMAGES])
    more = len(image_ids) - _NAMED_IMAGES
    return f", images {named}" + (f" and {more} more" if more > 0 else "")
