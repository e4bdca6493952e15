"""Trained weights for the backbone that a config names, wherever they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mnv2_dense.backbone.timm_features import TimmFeatures
from mnv2_dense.backbone.weights import IMAGENET, change_epsilon, load_backbone, load_layers
from mnv2_dense.builders.backbones import RELEASE_EPSILON
from mnv2_dense.config.loader import parse_config
from mnv2_dense.config.schema import Config
from mnv2_dense.detection.network import Detector
from mnv2_dense.errors import UserError
from mnv2_dense.importing.reading import is_graph, read_weights
from mnv2_dense.importing.states import TORCHVISION
from mnv2_dense.ops.state_dict import read_checkpoint
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.training.checkpoint_io import CARD

DECIDES = ("padding", "linear_bottleneck", "shortcut", "first_shortcut")
"""Keys of `backbone` that change what weights compute, though they fit by their shapes."""
SHAPES = ("name", "width_mult", "expansion", "min_channels", "channel_divisor", "last_channels")
"""Keys of `backbone` that decide the shapes of weights."""
KEYS = {"backbone": (*SHAPES, *DECIDES, "norm_epsilon"), "input": ("mean", "std")}
"""What is asked of a checkpoint's config, by section."""
MEAN_TOLERANCE, STD_TOLERANCE = 2.0, 0.02
"""Differences of normalisation, in pixel values and in shares, that files round away."""
BACKBONE = "backbone."

Settings = Mapping[str, Mapping[str, Any]]


def load_pretrained(network: Detector | Segmenter, config: Config) -> str | None:
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
    check_same(config, settings, source)
    try:
        if imported is None:
            left_out = load_backbone(backbone, weights)
        else:
            left_out = load_layers(backbone, _backbone_state(imported.state), source)
    except UserError as error:
        raise UserError(f"{error}{_what_fits(config, settings)}") from error
    _carry_epsilon(network, settings)
    return _describe(network, source, left_out)


def _backbone_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = [name for name in state if name.startswith(BACKBONE)]
    return {name.removeprefix(BACKBONE): state[name] for name in names}


def _settings_of(weights: str, network: Detector | Segmenter) -> Settings:
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


def check_same(
    config: Config, settings: Settings, source: str, keys: Sequence[str] = DECIDES
) -> None:
    """Refuses weights that would compute something else here, without any shape saying so.

    Args:
        config: Of the network that they are for.
        settings: How they were trained, as far as that is known.
        source: Where they come from, for messages.
        keys: Of `backbone`, which have to be the same.

    Raises:
        UserError: One of the keys, or the normalisation of the input, is another.
    """
    trained, ours = settings.get("backbone", {}), config.backbone.model_dump()
    for key in keys:
        if key in trained and trained[key] != ours[key]:
            raise UserError(
                f"{source}: was trained with backbone.{key}={_word(trained[key])}, and would "
                f"compute something else with {_word(ours[key])}; set "
                f"backbone.{key}={_word(trained[key])}"
            )
    given = settings.get("input", {})
    mean, std = given.get("mean"), given.get("std")
    if mean is not None and std is not None and not _close(config, mean, std):
        raise UserError(
            f"{source}: was trained with input.mean={_list(mean)} and input.std={_list(std)}, not "
            f"{_list(config.input.mean)} and {_list(config.input.std)}; set them so"
        )


def _close(config: Config, mean: Sequence[float], std: Sequence[float]) -> bool:
    means = all(abs(a - b) <= MEAN_TOLERANCE for a, b in zip(mean, config.input.mean, strict=True))
    ratios = (a / b for a, b in zip(std, config.input.std, strict=True))
    return means and all(abs(ratio - 1) <= STD_TOLERANCE for ratio in ratios)


def _what_fits(config: Config, settings: Settings) -> str:
    """The keys with which weights would fit, for the end of a message."""
    trained, ours = settings.get("backbone", {}), config.backbone.model_dump()
    other = [key for key in SHAPES if key in trained and trained[key] != ours[key]]
    if not other:
        return ""
    return f"; they fit {', '.join(f'backbone.{key}={_word(trained[key])}' for key in other)}"


def _carry_epsilon(network: Detector | Segmenter, settings: Settings) -> None:
    if "backbone" in settings:
        trained = settings["backbone"].get("norm_epsilon")
        change_epsilon(network.backbone, trained or RELEASE_EPSILON)


def _describe(network: Detector | Segmenter, source: str, left_out: Sequence[str]) -> str:
    loaded = len(network.backbone.state_dict())
    random = len(network.state_dict()) - loaded
    layers = sorted({".".join(name.split(".")[: 2 if name[0] == "b" else 1]) for name in left_out})
    spare = f"; not used of it: {', '.join(layers)}" if layers else ""
    return f"{source}: {loaded} tensors of the backbone loaded, {random} of the head random{spare}"


def _word(value: object) -> str:
    """A value as an override is written."""
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _list(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"
