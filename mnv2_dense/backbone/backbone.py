"""What every feature extractor has in common: taps with names, and the atrous rule."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from mnv2_dense.ops.texts import list_ranges
from mnv2_dense.structures import FeatureSpec


class DefaultTaps(NamedTuple):
    """The taps that the heads read unless they are told otherwise.

    `detection` holds SSD's, finest first; `segmentation` is DeepLabv3's; `auxiliary` lies before
    the last stage; `low_level`, at stride 8, is Lite R-ASPP's second; `classification` is what a
    classifier averages.
    """

    detection: tuple[str, ...]
    segmentation: str
    auxiliary: str
    low_level: str
    classification: str


class Backbone(nn.Module, ABC):
    """A feature extractor: returns the taps it was asked for, and holds no block behind them.

    `specs` describes those taps, in the order in which they were asked for.
    """

    default_taps: ClassVar[DefaultTaps]
    """Not of timm's, which depend on the model: see `timm_maps.timm_default_taps`."""
    specs: tuple[FeatureSpec, ...]

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap, of images [B, 3, H, W] (normalised RGB)."""


class UnknownTapError(ValueError):
    """A tap that a network does not have; the message lists those that it has."""


def choose_taps(
    known: Iterable[FeatureSpec], taps: Sequence[str], network: str
) -> tuple[FeatureSpec, ...]:
    """What is known of the taps asked for.

    Args:
        known: Every tap of the network.
        taps: Names asked for.
        network: Its name, for the message.

    Raises:
        UnknownTapError: An unknown tap.
        ValueError: No tap.
    """
    specs = {spec.name: spec for spec in known}
    if not taps:
        raise ValueError("a backbone needs at least one tap")
    if unknown := [tap for tap in taps if tap not in specs]:
        raise UnknownTapError(f"unknown taps {unknown}; {network} has {list_ranges(specs)}")
    return tuple(specs[tap] for tap in taps)


def check_output_stride(output_stride: int) -> None:
    """Refuses an output stride that no network here has.

    Raises:
        ValueError: It is not 8, 16 or 32.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, not {output_stride}")


class Step(NamedTuple):
    """Stride and dilation of one block, and the stride of its input in pixels of the image."""

    stride: int
    dilation: int
    input_stride: int

    @property
    def output_stride(self) -> int:
        """Input pixels per cell of the block's output."""
        return self.input_stride * self.stride


def plan_steps(strides: Iterable[int], output_stride: int, input_stride: int = 2) -> Iterator[Step]:
    """Strides and dilations of a chain of blocks at an output stride.

    A block that loses its stride keeps the old dilation for its own layers; the blocks behind it
    get the dilation multiplied by the lost stride.

    Args:
        strides: What the blocks have where nothing is dilated.
        output_stride: The largest stride allowed.
        input_stride: That of the first block's input.

    Source: the atrous rule of the authors' released code.
    """
    dilation = 1
    for wanted in strides:
        stride = wanted if input_stride * wanted <= output_stride else 1
        yield Step(stride, dilation, input_stride)
        input_stride *= stride
        dilation *= wanted // stride
