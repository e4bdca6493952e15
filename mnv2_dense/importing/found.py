"""What an import finds in a file: weights under our names, and the config that fits them."""

from typing import NamedTuple

from torch import Tensor

from mnv2_dense.structures import Category

Settings = dict[str, dict[str, object]]
"""Sections of a config, and in each the keys that the file decides."""


class Found(NamedTuple):
    """A recognised network, before its weights are put together.

    Attributes:
        task: `detection`, `segmentation` or `classification`.
        settings: Of the config.
        categories: Its classes in label order.
        groups: Default epsilon of every group of layers whose norms are all folded.
    """

    task: str
    settings: Settings
    categories: tuple[Category, ...]
    groups: dict[str, float]


class Imported(NamedTuple):
    """A file's network as one of ours.

    Attributes:
        source: The file.
        task: `detection`, `segmentation` or `classification`.
        settings: Of the config.
        categories: Its classes in label order; empty where the file does not say.
        state: Weights, under the names of our network.
        used: The file's tensors that the weights are made of, each with our layer.
        not_needed: The other tensors, each with the reason.
        outputs: Our modules, each with the file's tensor of the same values.
        folded: Layers whose batch norm the file has folded into them.
        notes: What the file does not say and was assumed.
    """

    source: str
    task: str
    settings: Settings
    categories: tuple[Category, ...]
    state: dict[str, Tensor]
    used: dict[str, str]
    not_needed: dict[str, str]
    outputs: tuple[tuple[str, str], ...] = ()
    folded: int = 0
    notes: tuple[str, ...] = ()
