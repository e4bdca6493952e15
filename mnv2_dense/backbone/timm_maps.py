"""What timm's models are: which feature maps they give, at which output strides and input sizes."""

import difflib
import importlib
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Size, Tensor, nn

from mnv2_dense.backbone.backbone import DefaultTaps
from mnv2_dense.structures import FeatureSpec, ImageSize

_PROBE = ImageSize(288, 352)
"""Size at which maps are measured: odd multiples of 32, which few windows and patches fit."""
_EXTRA = "timm is an optional extra: pip install 'mnv2-dense[timm]'"


class TimmMaps(NamedTuple):
    """A timm model's feature maps at one output stride.

    `specs` are all of them, finest first; `options` are what timm builds it with; `divisor` must
    divide the sides of its input; `channels_last` says that its maps are [B, H, W, C].
    """

    specs: tuple[FeatureSpec, ...]
    options: dict[str, Any]
    divisor: int
    channels_last: bool


@cache
def timm_maps(name: str, output_stride: int = 32) -> TimmMaps:
    """Every feature map that a timm model gives, run once on the meta device.

    Taps are `feature_N`, N being timm's own index. A model whose last map is already as fine as
    `output_stride` stays as it is.

    Raises:
        ValueError: timm is not installed or has no such model; or the model gives no maps, gives
            them at few input sizes only, or has no such output stride.
    """
    if output_stride == 32:
        return _measure(name, {})
    whole = timm_maps(name)
    coarsest = whole.specs[-1].stride
    if coarsest <= output_stride:
        return whole
    refusal = f"{name} has no output_stride {output_stride} in timm; it runs at {coarsest}"
    try:
        dilated = _measure(name, {"output_stride": output_stride})
    except ValueError as error:
        raise ValueError(refusal) from error
    if dilated.specs[-1].stride != output_stride:
        raise ValueError(refusal)
    return dilated


def timm_default_taps(name: str) -> DefaultTaps:
    """The taps that heads read of a timm model: its last, and the last at strides 8, 16 and 32.

    Raises:
        ValueError: See `timm_maps`; or the model has no map at one of these strides.
    """
    specs = timm_maps(name).specs
    taps = {spec.stride: spec.name for spec in specs}
    if not {8, 16, 32} <= taps.keys():
        shown = ", ".join(f"{spec.name} at {spec.stride}" for spec in specs)
        raise ValueError(f"{name} lacks a map at stride 8, 16 or 32; it has {shown}")
    last = specs[-1].name
    return DefaultTaps((taps[16], taps[32]), last, taps[16], taps[8], last)


def create_timm(name: str, *, pretrained: bool = False, **options: Any) -> Any:
    """A feature extractor of timm, on the default device.

    Raises:
        ValueError: timm is not installed, or has no such model.
        Exception: What else the model's own constructor raises, or the download.
    """
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise ValueError(f"{_EXTRA} ({error})") from error
    # A name that is none of a model could be one of a repository that timm would download.
    if not timm.is_model(name):
        known = timm.list_models()
        near = [each for each in known if each.startswith(name)][:3]
        near = near or difflib.get_close_matches(name, known, cutoff=0.5)
        hint = f"near are {', '.join(near)}" if near else "timm.list_models() lists them"
        raise ValueError(f"{name} is none of timm {timm.__version__}'s {len(known)} models; {hint}")
    return timm.create_model(name, features_only=True, pretrained=pretrained, **options)


def index_of(tap: str) -> int:
    """Timm's index of a tap's feature map."""
    return int(tap.removeprefix("feature_"))


def first_line(error: Exception) -> str:
    """What an exception says, in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _measure(name: str, options: dict[str, Any]) -> TimmMaps:
    try:
        with torch.device("meta"):
            model = create_timm(name, **options).eval()
    except ValueError:
        raise
    except Exception as error:  # each model has its own way to have no features_only
        raise ValueError(f"timm gives no feature maps of {name} ({first_line(error)})") from error
    info = model.feature_info
    indices = [index % len(info.info) for index in info.out_indices]
    rows = zip(indices, info.channels(), info.reduction(), strict=True)
    specs = tuple(FeatureSpec(f"feature_{index}", depth, step) for index, depth, step in rows)
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    try:
        shapes = _shapes(model, _PROBE, channels_last)
    except Exception as error:  # each model has its own way to refuse a size
        raise ValueError(
            f"{name} runs at few input sizes only, and such models of timm cannot be used here "
            f"(tried at {_PROBE.height}x{_PROBE.width}: {first_line(error)})"
        ) from error
    for spec, shape in zip(specs, shapes, strict=True):
        cells = [side // spec.stride for side in _PROBE]
        if list(shape) != [spec.channels, *cells]:
            found, size = ("x".join(map(str, each)) for each in (shape, _PROBE))
            raise ValueError(f"{name}'s {spec.name} is {found} at {size}, not stride {spec.stride}")
    return TimmMaps(specs, options, _divisor(model, specs[-1].stride), channels_last)


def _shapes(model: nn.Module, size: ImageSize, channels_last: bool = False) -> list[Size]:
    """Shapes [C, H, W] of a model's maps at an input size."""
    with torch.no_grad():
        maps: list[Tensor] = model(torch.zeros(1, 3, *size, device="meta"))
    return [(each.permute(0, 3, 1, 2) if channels_last else each).shape[1:] for each in maps]


def _divisor(model: nn.Module, stride: int) -> int:
    """What the sides of the input must be multiples of: 1, or the model's own stride."""
    try:
        _shapes(model, ImageSize(_PROBE.height + 1, _PROBE.width + 1))
    except Exception:  # each model has its own way to refuse a size
        return stride
    return 1
