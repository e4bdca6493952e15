"""Trained weights for a backbone: files, torchvision's MobileNetV2 and timm's models."""

import importlib
import pickle
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights

from mnv2_dense.backbone.backbone import Backbone
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.backbone.timm_features import TimmFeatures, from_timm
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.ops.state_dict import load_state_dict

# Position in torchvision's Sequential `conv` -> our layer. Its first block has no expansion.
_FIRST_BLOCK = {"0.0": "depthwise.0", "0.1": "depthwise.1", "1": "project.0", "2": "project.1"}
_BLOCK = {
    "0.0": "expand.0",
    "0.1": "expand.1",
    "1.0": "depthwise.0",
    "1.1": "depthwise.1",
    "2": "project.0",
    "3": "project.1",
}
_PREFIXES = ("network.backbone.", "backbone.")
"""How the names of a backbone's weights begin in a checkpoint, and in a classifier."""

IMAGENET = "imagenet"
"""Stands for torchvision's or timm's published weights where else a file is given."""


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's `mobilenet_v2` weights under our names.

    Classifier weights are named `classifier.*`, as `Classifier` has them; the
    rest are those of `MobileNetV2`.
    """
    return {_rename(name): tensor for name, tensor in state.items()}


def classifier_state(state: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    """The weights of a `Classifier` under our names, or None where a file holds no classifier.

    Args:
        state: Torchvision's `mobilenet_v2` (`features.*`, `classifier.1.*`), or ours
            (`backbone.*`, `classifier.*`); other networks are not told apart by their blocks.
    """
    if any(name.startswith("features.") for name in state):
        state = {
            name if name.startswith("classifier.") else f"backbone.{name}": tensor
            for name, tensor in from_torchvision(state).items()
        }
    matrix = state.get("classifier.weight")
    if not (isinstance(matrix, Tensor) and matrix.ndim == 2 and len(matrix) > 0):
        return None
    return state if any(name.startswith("backbone.") for name in state) else None


def _rename(name: str) -> str:
    if name.startswith("classifier.1."):
        return name.replace("classifier.1.", "classifier.")
    found = re.fullmatch(r"features\.(\d+)\.(.+)\.(\w+)", name)
    if found is None:
        return name
    index, layer, parameter = int(found[1]), found[2], found[3]
    if index == 0:
        return f"stem.{layer}.{parameter}"
    if index == 18:
        return f"last.{layer}.{parameter}"
    table = _FIRST_BLOCK if index == 1 else _BLOCK
    ours = table.get(layer.removeprefix("conv."))
    return name if ours is None else f"blocks.{index - 1}.{ours}.{parameter}"


def load_backbone(backbone: Backbone, weights: str) -> list[str]:
    """Loads trained weights into a backbone; returns the names of layers that it has not.

    Args:
        backbone: Any width, taps and output stride that the weights fit.
        weights: `imagenet` for the weights that torchvision publishes of MobileNetV2 (width 1.0)
            or timm of its model; or the path of a local file: a state dict of torchvision, timm
            or ours, or a checkpoint of a run.

    Raises:
        UserError: The weights cannot be had or read, or do not fit.
    """
    if isinstance(backbone, TimmFeatures):
        _load_timm(backbone, weights)
        return []
    state = _imagenet(backbone) if weights == IMAGENET else _read(Path(weights))
    if any(name.startswith("features.") for name in state):
        state = from_torchvision(state)
    return load_layers(backbone, state, f"backbone.weights={weights}")


def load_layers(backbone: Backbone, state: Mapping[str, Tensor], source: str) -> list[str]:
    """Loads weights under our names; returns the names of layers that the backbone has not.

    Raises:
        UserError: The weights do not fit, or lack a layer.
    """
    own = set(backbone.state_dict())
    # A backbone without the last layers takes what it needs of a whole classifier.
    spare = {name for name in state if name.startswith(("classifier.", "last.", "blocks."))} - own
    used = {name: tensor for name, tensor in state.items() if name not in spare}
    load_state_dict(backbone, used, source)
    return sorted(spare)


@torch.no_grad()
def change_epsilon(network: nn.Module, trained: float) -> None:
    """Makes batch norms compute with their own epsilon what the weights did with another.

    Args:
        network: Whose weights were trained with another epsilon.
        trained: That epsilon.
    """
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
            norm.weight.mul_(((norm.running_var + norm.eps) / (norm.running_var + trained)).sqrt())


def _load_timm(backbone: TimmFeatures, weights: str) -> None:
    if weights == IMAGENET:
        backbone.load_pretrained()
    else:
        state = from_timm(_read(Path(weights)), backbone.state_dict())
        load_state_dict(backbone, state, f"backbone.weights={weights}")


def _imagenet(backbone: Backbone) -> Mapping[str, Tensor]:
    if not isinstance(backbone, MobileNetV2):
        raise UserError(
            "backbone.weights=imagenet: such weights are published for mobilenet_v2 and timm's "
            f"models, not for a {type(backbone).__name__}; give the path of a file, or set "
            "backbone.weights=null"
        )
    otherwise = ", or set backbone.weights=null"
    return download_imagenet("backbone.weights=imagenet", otherwise)


def download_imagenet(asked: str, otherwise: str = "") -> Mapping[str, Tensor]:
    """Torchvision's published weights under torchvision's names, out of its cache if there.

    Args:
        asked: Who asked for them, for the message.
        otherwise: What else can be done, for the message.

    Raises:
        UserError: They cannot be downloaded, or are not those that were published.
    """
    source = MobileNet_V2_Weights.IMAGENET1K_V2
    try:
        # A file already in torch's cache is not hashed again: it, too, must hold no code.
        return source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{asked}: {source.url} cannot be downloaded ({reason}); download it elsewhere and "
            f"give its path{otherwise}"
        ) from error


def _read(path: Path) -> Mapping[str, Tensor]:
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    state = content.get("state_dict", content)
    for prefix in _PREFIXES:
        names = [name for name in state if name.startswith(prefix)]
        if names:
            return {name.removeprefix(prefix): state[name] for name in names}
    return state


def _read_safetensors(path: Path) -> dict[str, Any]:
    """The weights in a file of the kind in which timm's are published; it cannot hold code."""
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    try:
        return {"state_dict": importlib.import_module("safetensors.torch").load_file(path)}
    except ImportError as error:
        raise UserError(f"{path}: needs safetensors, pip install 'mnv2-dense[timm]'") from error
    except Exception as error:  # damaged bytes end anywhere
        raise UserError(f"{path}: truncated, or no safetensors file") from error
