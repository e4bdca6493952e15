"""Parts of a training step, alone: the loss, and the average of the weights."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mnv2_dense.benchmarking.interleaving import Call
from mnv2_dense.benchmarking.training.subjects import Batch
from mnv2_dense.builders import Task
from mnv2_dense.detection.task import DetectionTask, input_size
from mnv2_dense.structures import DetectionBatch
from mnv2_dense.training.averaging import ema_callback


def loss_call(task: Task, batch: Batch) -> Call:
    """Matching and loss of a batch, forwards and back to the network's outputs."""
    with torch.no_grad():
        outputs: Any = task(batch.images)
    outputs = outputs._replace(**{name: _leaf(each) for name, each in outputs._asdict().items()})

    def call() -> None:
        if isinstance(task, DetectionTask):
            assert isinstance(batch, DetectionBatch)
            terms = task.loss(outputs, batch.targets, input_size(batch))
        else:
            terms = task.loss(outputs, batch.label_maps)  # pyrefly: ignore[missing-attribute]
        terms.total.backward()
        for each in outputs:
            if isinstance(each, Tensor):
                each.grad = None

    return call


def _leaf(value: Any) -> Any:
    """An output as if it came from the network; anchors, which are no output of weights, too."""
    return value.detach().clone().requires_grad_() if isinstance(value, Tensor) else value


def average_call(task: Task) -> Call:
    """An update of the average of a network's weights."""
    average = ema_callback(0.999)
    trainer: Any = SimpleNamespace(global_step=0)
    average.setup(trainer, task, "fit")
    average.on_train_start(trainer, task)

    def call() -> None:
        trainer.global_step += 1
        average.on_train_batch_end(trainer, task, None, None, trainer.global_step)

    return call
