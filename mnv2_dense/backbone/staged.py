"""Networks of a stem, a pool and numbered stages of units."""

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import Backbone, choose_taps
from mnv2_dense.structures import FeatureSpec


class StagedBackbone(Backbone):
    """A chain of `stem`, `pool` and `blocks`, of which every member's output is a tap.

    A subclass makes the members after this constructor has run, and of the blocks only the
    first `num_blocks`: those before the deepest tap.

    Args:
        known: What every member returns, in the order of the chain.
        taps: Names of the feature maps to return.
        network: Its name, for the message.

    Raises:
        ValueError: An unknown tap, or none.
    """

    stem: nn.Module
    pool: nn.Module
    blocks: nn.ModuleList

    def __init__(self, known: Iterable[FeatureSpec], taps: Sequence[str], network: str) -> None:
        super().__init__()
        known = list(known)
        self.specs = choose_taps(known, taps, network)
        depth = 1 + max(known.index(spec) for spec in self.specs)
        self.members = [spec.name for spec in known[:depth]]

    @property
    def num_blocks(self) -> int:
        """How many blocks the deepest tap needs."""
        return max(0, len(self.members) - 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap, of images [B, 3, H, W] (normalised RGB)."""
        wanted = [spec.name for spec in self.specs]
        features, maps = images, dict[str, Tensor]()
        for name, member in zip(self.members, (self.stem, self.pool, *self.blocks), strict=False):
            features = member(features)
            if name in wanted:
                maps[name] = features
        return {name: maps[name] for name in wanted}


def name_units(counts: Sequence[int], first_stage: int) -> Iterator[str]:
    """Tap names `stage_S_unit_U` of stages with `counts` units; units are numbered from 1."""
    for stage, count in enumerate(counts, start=first_stage):
        for unit in range(1, count + 1):
            yield f"stage_{stage}_unit_{unit}"
