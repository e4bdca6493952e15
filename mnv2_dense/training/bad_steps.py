"""A step whose loss or gradient is not finite: what a run writes and says of it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mnv2_dense.ops.texts import list_first
from mnv2_dense.training.reading import Reading

FILE = "bad_steps.jsonl"
"""In the folder of a run: a line for every step that was not finite."""


class StepBatch(NamedTuple):
    """A batch of a step, in one process.

    Attributes:
        index: Of the batch in its epoch, from 0.
        image_ids: Its pictures.
        losses: `loss`, the sum, and its terms, by name.
    """

    index: int
    image_ids: Sequence[int | str]
    losses: Mapping[str, Tensor]

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        losses = {name: float(value) for name, value in self.losses.items()}
        return {"batch": self.index, "image_ids": list(self.image_ids), "losses": losses}


class TakenStep(NamedTuple):
    """An optimiser step that is to be judged once its numbers have come from the device.

    Attributes:
        step: Optimiser steps taken before it.
        epoch: From 0.
        batches: What it was made of, in this process.
        names: Parameters with a gradient.
        norms: Of their gradients, a scalar each.
        numbers: The mean losses of the batches over all processes, and the sum of the norms.
    """

    step: int
    epoch: int
    batches: Sequence[StepBatch]
    names: Sequence[str]
    norms: Sequence[Tensor]
    numbers: Reading

    def judge(self) -> tuple[float, Literal["loss", "gradient"] | None]:
        """Its mean loss, and what is not finite, if anything."""
        *losses, norm = self.numbers.values().tolist()
        loss = sum(losses) / len(losses)
        if not math.isfinite(loss):
            return loss, "loss"
        return loss, None if math.isfinite(norm) else "gradient"

    def bad_names(self) -> list[str]:
        """Parameters whose gradient is not finite."""
        finite = torch.isfinite(torch.stack([*self.norms])).tolist()
        return [name for name, good in zip(self.names, finite, strict=True) if not good]


class BadStep(NamedTuple):
    """A step that cannot be taken.

    Attributes:
        what: What is not finite.
        step: Optimiser steps taken before, as in the log.
        epoch: From 0.
        processes: By rank, the batches whose loss or gradient it is, as `StepBatch.as_dict`.
        parameters: Those whose gradient is not finite, in the order of the network.
    """

    what: Literal["loss", "gradient"]
    step: int
    epoch: int
    processes: Sequence[Sequence[dict[str, Any]]]
    parameters: Sequence[str] = ()

    def message(self) -> str:
        """What is wrong, and where."""
        batches = [batch for process in self.processes for batch in process]
        bad = [batch for batch in batches if not math.isfinite(batch["losses"]["loss"])] or batches
        images = [image_id for batch in bad for image_id in batch["image_ids"]]
        value = f"{bad[0]['losses']['loss']}" if self.what == "loss" else "not finite"
        within = f" in {list_first(self.parameters)}" if self.parameters else ""
        return (
            f"the training {self.what} is {value}{within} at step {self.step}, epoch {self.epoch}, "
            f"images {list_first(images)}"
        )

    def append_to(self, file: Path, *, left_out: bool) -> None:
        """Adds a line of JSON; numbers that JSON does not have are texts, as `"nan"`."""
        line = json.dumps(_plain({**self._asdict(), "left_out": left_out}), ensure_ascii=False)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
