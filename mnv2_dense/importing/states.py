"""Torchvision's MobileNetV2 weights as an import, at whatever width they are."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mnv2_dense.backbone.mobilenet_v2 import plan_blocks
from mnv2_dense.backbone.weights import classifier_state
from mnv2_dense.errors import UserError
from mnv2_dense.importing.found import Imported, Settings
from mnv2_dense.importing.mobilenet_v2 import BLOCKS, Shape, find_settings

TORCHVISION: Settings = {
    "input": {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
    "backbone": {"padding": "symmetric", "norm_epsilon": 1e-5},
}
"""How torchvision's published weights were trained (its preset, and PyTorch's batch norm)."""


_MEAN = "running_mean"


def import_state(state: Mapping[str, object], source: str) -> Imported:
    """A state dict of torchvision's `mobilenet_v2` as one of our classifiers.

    Raises:
        UserError: It is of another network, of no width that is known here, or not finite.
    """
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    _check_finite(tensors, source)
    ours = classifier_state(_with_counters(tensors))
    if ours is None or not any(name.startswith("features.") for name in tensors):
        raise UserError(
            f"{source}: no weights of torchvision's mobilenet_v2 (features.*, classifier.1.*)"
        )
    return Imported(
        source=source,
        task="classification",
        settings={
            **TORCHVISION,
            "backbone": {
                **find_settings(_shape(ours, source), source),
                **TORCHVISION["backbone"],
            },
        },
        categories=(),
        state=dict(ours),
        used=dict(zip(tensors, ours, strict=False)),
        not_needed={},
    )


def _check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"{source}: {name} holds values that are not finite (NaN or infinite)")


def _with_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors and, behind them, the batch norms' counters that old files do not have."""
    norms = [name.removesuffix(_MEAN) for name in tensors if name.endswith(_MEAN)]
    missing = [f"{norm}num_batches_tracked" for norm in norms]
    return {**tensors, **{name: torch.tensor(0) for name in missing if name not in tensors}}


def _shape(state: Mapping[str, Tensor], source: str) -> Shape:
    """Channels of the layers; their steps are those of the paper, which no tensor shows."""
    try:
        stem = len(state["backbone.stem.0.weight"])
        blocks = [f"backbone.blocks.{index}" for index in range(BLOCKS)]
        outputs = tuple(len(state[f"{block}.project.0.weight"]) for block in blocks)
        expanded = len(state[f"{blocks[1]}.expand.0.weight"])
    except KeyError as error:
        raise UserError(f"{source}: {error.args[0]} is not in the file") from None
    steps = tuple((plan.stride, plan.dilation) for plan in plan_blocks(1.0, 32))
    return Shape(stem, outputs, expanded // outputs[0], steps)
