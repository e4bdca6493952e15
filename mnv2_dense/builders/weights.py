"""Trained weights for the backbone that a config names, wherever they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mnv2_dense.backbone.blocks import RELEASE_EPSILON
from mnv2_dense.backbone.timm_features import TimmFeatures
from mnv2_dense.backbone.weights import IMAGENET, change_epsilon, load_backbone, load_layers
from mnv2_dense.builders.any_task import AnyNetwork
from mnv2_dense.builders.trained import DECIDES, Settings, check_same
from mnv2_dense.config.document import write_value
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import AnyConfig
from mnv2_dense.errors import UserError
from mnv2_dense.importing.reading import is_graph, read_weights
from mnv2_dense.importing.states import TORCHVISION
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.training.checkpoint_io import CARD

SHAPES = ("name", "width_mult", "expansion", "min_channels", "channel_divisor", "last_channels")
"""Keys of `backbone` that decide the shapes of weights."""
KEYS = {"backbone": (*SHAPES, *DECIDES, "norm_epsilon"), "input": ("mean", "std")}
"""What is asked of a checkpoint's config, by section."""
PREFIX = "backbone."


def load_pretrained(network: AnyNetwork, config: AnyConfig) -> str | None:
    """Loads `backbone.weights`, and returns what was loaded in words; None where none is given.

    Raises:
        UserError: The weights cannot be read, do not fit, or were trained with another padding,
            variant or normalisation than the config's.
    """
    weights = config.backbone.weights
    if weights is None:
        return None
    source, backbone = f"backbone.weights={weights}", network.backbone
    imported = None
    if weights != IMAGENET and is_graph(Path(weights)):
        imported = read_weights(Path(weights))
    settings = _settings_of(weights, network) if imported is None else imported.settings
    try:
        check_same(config.model_dump(), settings, source)
        if imported is None:
            left_out = load_backbone(backbone, weights)
        else:
            left_out = load_layers(backbone, _backbone_state(imported.state), source)
    except UserError as error:
        raise UserError(f"{error}{_what_fits(config, settings)}") from error
    _carry_epsilon(network, settings)
    return _describe(network, source, left_out)


def _backbone_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = [name for name in state if name.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): state[name] for name in names}


def _settings_of(weights: str, network: AnyNetwork) -> Settings:
    """What a state dict or checkpoint says of how it was trained; nothing, if it does not."""
    if isinstance(network.backbone, TimmFeatures):
        return {}
    if weights == IMAGENET:
        return TORCHVISION
    if Path(weights).suffix == ".safetensors":
        return {}
    content = read_checkpoint(Path(weights))
    card = content.get(CARD)
    stored = card.get("config") if isinstance(card, dict) else None
    if isinstance(stored, dict):
        return stored_settings(stored, weights)
    state = content.get("state_dict", content)
    return TORCHVISION if any(name.startswith("features.") for name in state) else {}


def stored_settings(stored: Mapping[str, Any], source: str) -> Settings:
    """What the config in a checkpoint says of how its backbone was trained.

    Args:
        stored: The config, of whatever task and not yet checked.
        source: The checkpoint, for messages.

    Raises:
        UserError: A value is not allowed.
    """
    sections = {section: stored.get(section) for section in KEYS}
    given: dict[str, object] = {
        section: {key: keys[key] for key in KEYS[section] if key in keys}
        for section, keys in sections.items()
        if isinstance(keys, dict)
    }
    return parse_config(given, name=source).model_dump(include=set(given), exclude_unset=True)


def _what_fits(config: AnyConfig, settings: Settings) -> str:
    """The keys with which weights would fit, for the end of a message."""
    trained, ours = settings.get("backbone", {}), config.backbone.model_dump()
    other = [key for key in SHAPES if key in trained and trained[key] != ours[key]]
    if not other:
        return ""
    return f"; they fit {', '.join(f'backbone.{key}={write_value(trained[key])}' for key in other)}"


def _carry_epsilon(network: AnyNetwork, settings: Settings) -> None:
    if "backbone" in settings:
        trained = settings["backbone"].get("norm_epsilon")
        change_epsilon(network.backbone, trained or RELEASE_EPSILON)


def _describe(network: AnyNetwork, source: str, left_out: Sequence[str]) -> str:
    loaded = len(network.backbone.state_dict())
    random = len(network.state_dict()) - loaded
    layers = sorted({".".join(name.split(".")[: 2 if name[0] == "b" else 1]) for name in left_out})
    spare = f"; not used of it: {', '.join(layers)}" if layers else ""
    return f"{source}: {loaded} tensors of the backbone loaded, {random} of the head random{spare}"
