"""Which parameters are decayed, and the optimiser over them."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, AdamW, Optimizer, RMSprop

# _NormBase covers batch, instance and synchronised batch norm.
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def _trainable(module: nn.Module) -> Iterator[tuple[nn.Parameter, bool]]:
    """Yields each trainable parameter once, and whether weight decay applies to it."""
    seen: set[nn.Parameter] = set()
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield parameter, not (isinstance(owner, _NORMS) or name.endswith("bias"))


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Splits the trainable parameters into a decayed group and one that is not.

    Norm parameters and every bias are not decayed: shrinking them limits what the network
    can express and regularises nothing. A parameter that two modules share is listed once;
    frozen parameters are left out.

    Args:
        module: Network whose parameters are grouped.
        weight_decay: Decay of the first group.

    Returns:
        Groups for a `torch.optim` optimiser, in the order of `module.modules()`; a group
        without parameters is left out.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter, decays in _trainable(module):
        (decayed if decays else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    module: nn.Module,
    *,
    name: str,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    rmsprop_decay: float,
    betas: tuple[float, float],
    epsilon: float,
) -> Optimizer:
    """Returns the optimiser over `parameter_groups(module, weight_decay)`.

    RMSProp is PyTorch's and differs from TensorFlow 1's, which trained the released models,
    in three points. PyTorch divides by `sqrt(mean_square) + epsilon`, TensorFlow by
    `sqrt(mean_square + epsilon)`: with a small epsilon the same, with the release's 1.0 not.
    PyTorch's running square starts at zero, TensorFlow's at one. PyTorch scales the momentum
    buffer by the present learning rate, TensorFlow each gradient by the rate of its own step.

    Args:
        module: Network to train.
        name: `sgd`, `rmsprop` or `adamw`.
        learning_rate: Peak learning rate; the schedule multiplies it.
        momentum: Momentum of SGD and RMSProp.
        nesterov: Nesterov's form of SGD momentum; without momentum it means nothing.
        weight_decay: L2 decay added to the gradient (SGD, RMSProp), decoupled in AdamW.
        rmsprop_decay: Decay of RMSProp's running square.
        betas: AdamW's decay rates.
        epsilon: Epsilon of RMSProp and AdamW.

    Raises:
        ValueError: `name` is none of the three, or `module` has nothing to train.
    """
    groups = parameter_groups(module, weight_decay)
    match name:
        case "sgd":
            nesterov = nesterov and momentum > 0
            return SGD(groups, lr=learning_rate, momentum=momentum, nesterov=nesterov)
        case "rmsprop":
            return RMSprop(
                groups, lr=learning_rate, alpha=rmsprop_decay, eps=epsilon, momentum=momentum
            )
        case "adamw":
            return AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon)
    raise ValueError(f"optimizer {name!r} is not one of sgd, rmsprop, adamw")
