"""How weights were trained, beside the config of the network that they are for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mnv2_dense.backbone.blocks import RELEASE_EPSILON
from mnv2_dense.config.document import write_value
from mnv2_dense.config.sections import Backbone
from mnv2_dense.errors import UserError

DECIDES = ("padding", "linear_bottleneck", "shortcut", "first_shortcut")
"""Keys of `backbone` that change what weights compute, though they fit by their shapes."""
MEAN_TOLERANCE, STD_TOLERANCE = 2.0, 0.02
"""Differences of normalisation, in pixel values and in shares, that files round away."""
PROTOCOL = ("data", "evaluation", "decode")
"""Sections of an import's settings that say how a network is used, not what it is."""
_ROUNDING = 1e-6
"""Relative difference of two numbers that float32 does not keep apart."""

Settings = Mapping[str, Mapping[str, Any]]
Keys = Mapping[str, Sequence[str]]
"""Keys of a config, by section."""

VARIANT: Keys = {"backbone": DECIDES}
BACKBONE: Keys = {**VARIANT, "input": ("mean", "std")}
"""What a backbone's weights need as it was."""


def check_same(given: Settings, trained: Settings, source: object, keys: Keys = BACKBONE) -> None:
    """Refuses weights that would compute something else here, without any shape saying so.

    Args:
        given: The config of the network that they are for, as a mapping.
        trained: How they were trained, as far as that is known.
        source: Where they come from, for messages.
        keys: Which have to be the same.

    Raises:
        UserError: Some are not; the message names them all.
    """
    if found := find_differences(given, trained, keys):
        raise UserError(
            f"{source}: was trained with {', '.join(found)}, and would compute something else; "
            f"set {'this key' if len(found) == 1 else 'these keys'} so"
        )


def find_differences(
    given: Settings, trained: Settings, keys: Keys, *, exact: bool = False
) -> list[str]:
    """Keys that differ, each with its value in training and the one given.

    Args:
        given: A config, as a mapping.
        trained: Another; sections and keys that it lacks are the same. What it does not say of
            a backbone's variant is the schema's default.
        keys: Which are compared.
        exact: Whether normalisations differ that files round to the same values.
    """
    found: list[str] = []
    for section, names in keys.items():
        before, now = trained.get(section), given.get(section)
        if not isinstance(before, Mapping) or not isinstance(now, Mapping):
            continue
        before = {**_defaults(section), **before}
        found += [
            f"{section}.{key}={write_value(before[key])} (not {write_value(now[key])})"
            for key in names
            if key in before
            and key in now
            and not _same(key, _effective(before, key), _effective(now, key), exact=exact)
        ]
    return found


def settled_keys(settings: Settings) -> Keys:
    """The keys of the network that an import's settings decide, with those of a variant.

    How pictures are resized is left out: no .tflite file says it.
    """
    keys = {
        section: [key for key in names if (section, key) != ("input", "resize")]
        for section, names in settings.items()
        if section not in PROTOCOL
    }
    return {**keys, "backbone": list(dict.fromkeys([*keys.get("backbone", ()), *DECIDES]))}


def _defaults(section: str) -> dict[str, Any]:
    """What a backbone is where nothing else is said of it."""
    if section != "backbone":
        return {}
    return {key: Backbone.model_fields[key].default for key in DECIDES}


def _effective(section: Mapping[str, Any], key: str) -> Any:
    """The value that a key stands for."""
    value = section[key]
    if key == "norm_epsilon" and value is None:
        return None if str(section.get("name")).startswith("timm/") else RELEASE_EPSILON
    # Nothing reads the rates of branches that are not there.
    if key == "atrous_rates" and section.get("aspp") == "none":
        return None
    return value


def _same(key: str, one: Any, other: Any, *, exact: bool) -> bool:
    if _are((one, other), (list, tuple)):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_same(key, *pair, exact=exact) for pair in pairs)
    if not _are((one, other), (int, float)):
        return one == other
    if not exact and key == "mean":
        return abs(one - other) <= MEAN_TOLERANCE
    tolerance = STD_TOLERANCE if not exact and key == "std" else _ROUNDING
    return math.isclose(one, other, rel_tol=tolerance)


def _are(values: Sequence[Any], kind: Any) -> bool:
    return all(isinstance(value, kind) for value in values)
