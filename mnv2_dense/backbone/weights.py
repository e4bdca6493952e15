"""Trained weights for a MobileNetV2: torchvision's names into ours."""

import pickle
import re
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from torch import Tensor
from torchvision.models import MobileNet_V2_Weights

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import load_state_dict, read_checkpoint

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
_CHECKPOINT_PREFIX = "network.backbone."


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's `mobilenet_v2` weights under our names.

    Classifier weights are named `classifier.*`, as `MobileNetV2Classifier` has them; the
    rest are those of `MobileNetV2`.
    """
    return {_rename(name): tensor for name, tensor in state.items()}


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


def load_backbone(backbone: MobileNetV2, weights: str) -> None:
    """Loads trained weights into a backbone; layers it does not have are left out.

    Args:
        backbone: Any width, taps and output stride that the weights fit.
        weights: `imagenet` for torchvision's published weights (width 1.0), or the path of a
            local file: a torchvision state dict, one of ours, or a checkpoint of a run.

    Raises:
        UserError: The file cannot be had or read, or does not fit.
    """
    state = _download() if weights == "imagenet" else _read(Path(weights))
    own = set(backbone.state_dict())
    # A backbone without the last layers takes what it needs of a whole classifier.
    spare = {name for name in state if name.startswith(("classifier.", "last.", "blocks."))} - own
    used = {name: tensor for name, tensor in state.items() if name not in spare}
    load_state_dict(backbone, used, f"backbone.weights={weights}")


def _download() -> Mapping[str, Tensor]:
    source = MobileNet_V2_Weights.IMAGENET1K_V2
    try:
        # A file already in torch's cache is not hashed again: it, too, must hold no code.
        return from_torchvision(
            source.get_state_dict(progress=False, check_hash=True, weights_only=True)
        )
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"backbone.weights=imagenet: {source.url} cannot be downloaded ({reason}); download "
            "it elsewhere and give its path, or set backbone.weights=null"
        ) from error


def _read(path: Path) -> Mapping[str, Tensor]:
    content = read_checkpoint(path)
    state = content.get("state_dict", content)
    if any(name.startswith("features.") for name in state):
        return from_torchvision(state)
    inside = {
        name.removeprefix(_CHECKPOINT_PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(_CHECKPOINT_PREFIX)
    }
    return inside or state
