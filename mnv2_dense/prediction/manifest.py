"""What an exported network says of itself, inside its file."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from mnv2_dense.errors import UserError
from mnv2_dense.structures import Category, ImageSize

KEY = "mnv2_dense"
"""Name of the entry in a file's metadata that holds the manifest as JSON."""
MAX_BYTES = 16 * 2**20
"""Longer ones are refused before they are parsed."""
MAX_SIDE, MAX_BATCH, MAX_PIXELS = 16384, 4096, 2**28
"""Of a file's input: of a side, of a batch in pictures and in pixels."""
MAX_NAME, MAX_OVERLAP = 1000, 0.95
"""Letters of a class's name; overlap of windows, in shares of one."""


@dataclass(frozen=True)
class Manifest:
    """Enough to prepare pictures for an exported network and to name what it gives.

    Attributes:
        task: What the network predicts.
        categories: Its classes in label order.
        input_size: Of the pictures that it takes, uint8 RGB [B, H, W, 3].
        resize: How pictures are brought to that size; see the config's `input.resize`. A
            segmenter's are padded.
        mean: RGB colour that a segmenter's pictures are padded with, 0-255, and that the network
            itself subtracts.
        std: What the network itself divides by.
        decoding: A detector's `decode` section; of a segmenter `align_corners`, `large_pictures`
            and `window_overlap`.
        precision: Of the network's arithmetic.
        batch: Pictures that it takes at once; None for any number.
        dynamic_size: Whether it takes other sizes than `input_size`, too.
        config: The config of the network that it was written from.
        version: Of mnv2_dense.
        licence: Of the weights, where it was given.
    """

    task: Literal["detection", "segmentation"]
    categories: tuple[Category, ...]
    input_size: ImageSize
    resize: Literal["bilinear", "legacy_bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    decoding: Mapping[str, Any]
    precision: Literal["float32", "int8"]
    batch: int | None
    dynamic_size: bool
    config: Mapping[str, Any]
    version: str
    licence: str | None = None

    @property
    def names(self) -> list[str]:
        """The classes' names in label order."""
        return [category.name for category in self.categories]

    def to_json(self) -> str:
        """The text that `read_manifest` reads."""
        return json.dumps(asdict(self))


def read_manifest(text: str | None, source: object) -> Manifest:
    """A manifest out of a file's metadata.

    Args:
        text: What stands under `KEY`; None where nothing does.
        source: The file, for messages.

    Raises:
        UserError: There is none, or it was not written by `to_json`.
    """
    if text is None:
        raise UserError(
            f"{source}: was not exported by mnv2_dense (it does not say what it predicts); "
            "write it with mnv2-dense export"
        )
    try:
        return _parse(text)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{source}: what it says of itself is damaged; export it again") from error


def _parse(text: str) -> Manifest:
    if len(text) > MAX_BYTES:
        raise ValueError("too long")
    values = json.loads(text)
    if not isinstance(values, dict) or values["task"] not in ("detection", "segmentation"):
        raise ValueError("of no task")
    known = {field.name for field in fields(Manifest)}
    batch = values["batch"]
    checked: dict[str, Any] = {
        "categories": _categories(values["categories"]),
        "input_size": ImageSize(*(_within(side, 1, MAX_SIDE) for side in values["input_size"])),
        "resize": _one_of(values["resize"], ("bilinear", "legacy_bilinear")),
        "mean": _channels(values["mean"]),
        "std": _channels(values["std"]),
        "decoding": _decoding(values["task"], values["decoding"]),
        "precision": _one_of(values["precision"], ("float32", "int8")),
        "batch": None if batch is None else _within(batch, 1, MAX_BATCH),
        "dynamic_size": _one_of(values["dynamic_size"], (True, False)),
        "config": dict(values["config"]),
        "version": str(values["version"]),
    }
    if math.prod(checked["input_size"]) * (batch or 1) > MAX_PIXELS:
        raise ValueError("larger than memory")
    return Manifest(**{**{key: values[key] for key in values.keys() & known}, **checked})


def _categories(values: Sequence[Any]) -> tuple[Category, ...]:
    categories = tuple(Category(int(number), str(name)) for number, name in values)
    if not categories or max(len(each.name) for each in categories) > MAX_NAME:
        raise ValueError("no classes, or with names that are none")
    return categories


def _decoding(task: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What an engine and what is done around it read; a file's own graph has the same inside."""
    decoding = dict(values)
    if task == "segmentation":
        _one_of(decoding["align_corners"], (True, False))
        _one_of(decoding["large_pictures"], ("shrink", "window"))
        if not 0 <= float(decoding["window_overlap"]) <= MAX_OVERLAP:
            raise ValueError("of another overlap")
    return decoding


def _within(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r} is not from {least} to {most}")
    return value


def _one_of(value: Any, allowed: Sequence[Any]) -> Any:
    if not any(value is each or (isinstance(each, str) and value == each) for each in allowed):
        raise ValueError(f"{value!r} is none of {allowed}")
    return value


def _channels(values: Sequence[Any]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError("not finite")
    return red, green, blue
