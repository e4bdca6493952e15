"""Which parameters are decayed, and the optimiser over them."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

# _NormBase covers batch, instance and synchronised batch norm.
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


BACKBONE = "backbone."
"""How the names of a network's pretrained part begin; the rest is its head."""


def parameter_groups(
    module: nn.Module, weight_decay: float, head_rate_factor: float = 1.0
) -> list[dict[str, Any]]:
    """Splits the trainable parameters by decay, and by learning rate where the head has its own.

    Norm parameters and every bias are not decayed: shrinking them limits what the network
    can express and regularises nothing. A parameter that two modules share is listed once;
    frozen parameters are left out.

    Args:
        module: Network whose parameters are grouped.
        weight_decay: Decay of the decayed groups.
        head_rate_factor: Factor on the learning rate of all but `module.backbone`.

    Returns:
        Groups in the order of `module.modules()`, each with `params`, `weight_decay` and
        `rate_factor`; a group without parameters is left out.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for factor in (1.0, head_rate_factor):
        groups |= {(factor, True): [], (factor, False): []}
    for name, parameter, decays in _trainable(module):
        factor = 1.0 if name.startswith(BACKBONE) else head_rate_factor
        groups[factor, decays].append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            "rate_factor": factor,
        }
        for (factor, decays), parameters in groups.items()
        if parameters
    ]


def _trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Yields each trainable parameter once, its name, and whether weight decay applies to it."""
    seen: set[nn.Parameter] = set()
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                decays = not (isinstance(owner, _NORMS) or name.endswith("bias"))
                yield f"{prefix}.{name}".removeprefix("."), parameter, decays


def build_optimizer(
    module: nn.Module,
    *,
    name: str,
    learning_rate: float,
    head_rate_factor: float = 1.0,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    rmsprop_decay: float,
    betas: tuple[float, float],
    epsilon: float,
) -> Optimizer:
    """Returns the optimiser over `parameter_groups`.

    RMSProp is PyTorch's and differs from TensorFlow 1's, which trained the released models,
    in three points. PyTorch divides by `sqrt(mean_square) + epsilon`, TensorFlow by
    `sqrt(mean_square + epsilon)`: with a small epsilon the same, with the release's 1.0 not.
    PyTorch's running square starts at zero, TensorFlow's at one. PyTorch scales the momentum
    buffer by the present learning rate, TensorFlow each gradient by the rate of its own step.

    Args:
        module: Network to train.
        name: `sgd`, `rmsprop` or `adamw`.
        learning_rate: Peak learning rate; the schedule multiplies it.
        head_rate_factor: Factor on it for all but `module.backbone`.
        momentum: Momentum of SGD and RMSProp.
        nesterov: Nesterov's form of SGD momentum; without momentum it means nothing.
        weight_decay: L2 decay added to the gradient (SGD, RMSProp), decoupled in AdamW.
        rmsprop_decay: Decay of RMSProp's running square.
        betas: AdamW's decay rates.
        epsilon: Epsilon of RMSProp and AdamW.

    Raises:
        ValueError: `name` is none of the three, or `module` has nothing to train.
    """
    groups = parameter_groups(module, weight_decay, head_rate_factor)
    for group in groups:
        group["lr"] = learning_rate * group.pop("rate_factor")
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


def set_options(optimizer: Optimizer, schedule: LambdaLR, options: Optimizer) -> None:
    """Gives an optimiser the options of another: rates, decay and momenta, not what it has learnt.

    PyTorch restores the options with the state, so that a run that is resumed with another
    learning rate would not use it. Options that are the same stay the same, bit for bit.

    Args:
        optimizer: As it was restored.
        schedule: Its own; it goes on where it is, from the new peak rates.
        options: Over the same parameters, in the same groups.
    """
    groups = zip(optimizer.param_groups, options.param_groups, schedule.lr_lambdas, strict=True)
    for group, wanted, factor in groups:
        kept = {"params": group["params"], "initial_lr": wanted["lr"]}
        group.update({**wanted, **kept, "lr": wanted["lr"] * factor(schedule.last_epoch)})
    schedule.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
