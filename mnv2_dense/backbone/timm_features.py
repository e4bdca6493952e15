"""Any model of timm as a backbone, through timm's own interface for feature maps."""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mnv2_dense.backbone.backbone import Backbone, check_output_stride, choose_taps
from mnv2_dense.backbone.timm_maps import (
    create_timm,
    first_line,
    index_of,
    timm_maps,
)
from mnv2_dense.errors import UserError


class TimmFeatures(Backbone):
    """A timm model up to its deepest tap, without classifier, with random weights.

    Taps are `feature_0`, `feature_1` ... in timm's own order of feature maps. Parameters have
    timm's names behind `model.`. Few models round the sides of their maps down, most round up.

    Args:
        name: The model's name in timm, with or without the tag of its weights.
        taps: Names of the feature maps to return.
        output_stride: 8, 16 or 32, where timm's model has it.
        norm_epsilon: Epsilon of the batch norms; None keeps the model's own.
        norm_momentum: Momentum of the running statistics, in PyTorch's sense.

    Raises:
        ValueError: See `timm_maps`; or an unknown tap, no tap, or another output stride.
    """

    model: nn.Module

    def __init__(
        self,
        name: str,
        taps: Sequence[str],
        *,
        output_stride: int = 32,
        norm_epsilon: float | None = None,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        check_output_stride(output_stride)
        self.name = name
        self._maps = timm_maps(name, output_stride)
        self.specs = choose_taps(self._maps.specs, taps, f"timm/{name}")
        self._indices = sorted({index_of(tap) for tap in taps})
        self.model = self._create()
        for layer in self.model.modules():
            if isinstance(layer, _BatchNorm):
                layer.eps = layer.eps if norm_epsilon is None else norm_epsilon
                layer.momentum = norm_momentum

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Feature maps by tap, of images [B, 3, H, W] (normalised RGB).

        Raises:
            UserError: The model does not run at this size.
        """
        height, width = images.shape[-2:]
        divisor = self._maps.divisor
        if height % divisor or width % divisor:
            raise UserError(
                f"backbone.name=timm/{self.name} takes input sides that are multiples of "
                f"{divisor}, not {height}x{width}; set input.height and input.width"
            )
        maps: list[Tensor] = self.model(images)
        if self._maps.channels_last:
            maps = [each.permute(0, 3, 1, 2) for each in maps]
        found = dict(zip(self._indices, maps, strict=True))
        return {spec.name: found[index_of(spec.name)] for spec in self.specs}

    def load_pretrained(self) -> None:
        """Loads the weights that timm publishes for the model and downloads if need be.

        Raises:
            UserError: There are none, or they cannot be downloaded.
        """
        try:
            trained = self._create(pretrained=True)
        except Exception as error:  # timm's, or of the network and the libraries that reach it
            raise UserError(
                f"backbone.weights=imagenet: timm cannot get its weights of {self.name} "
                f"({first_line(error)}); download them elsewhere and give the file's path, or "
                "set backbone.weights=null"
            ) from error
        self.model.load_state_dict(trained.state_dict())

    def _create(self, *, pretrained: bool = False) -> nn.Module:
        indices = tuple(self._indices)
        model = create_timm(
            self.name, pretrained=pretrained, out_indices=indices, **self._maps.options
        )
        # timm cuts off what lies behind the last map, but not in EfficientNets and MobileNets.
        stage = model.feature_info.get_dicts()[-1].get("stage")
        blocks = getattr(model, "blocks", None)
        if stage is not None and isinstance(blocks, nn.Sequential):
            del blocks[stage:]
        return model


def from_timm(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """A timm model's weights under the names of a `TimmFeatures`, without those it lacks.

    Args:
        state: Names as in the state dict of timm's classifier, or of a `TimmFeatures`.
        own: Names of the `TimmFeatures`. For feature maps timm wraps some models whole, and of
            others joins the first two parts of a name: `stages.0.` becomes `stages_0.`.
    """
    known = set(own)
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        wrapped = [f"model.{part}{name}" for part in ("", "model.", "body.")]
        for ours in (name, *wrapped, f"model.{name.replace('.', '_', 1)}"):
            if ours in known:
                renamed[ours] = tensor
    return renamed
