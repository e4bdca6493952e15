import sys
from typing import Any

import pytest
import timm
import torch

from mnv2_dense.backbone.backbone import DefaultTaps
from mnv2_dense.backbone.timm_maps import create_timm, timm_default_taps, timm_maps


def refusal(name: str, output_stride: int = 32) -> str:
    with pytest.raises(ValueError, match=name) as caught:
        timm_maps(name, output_stride)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_resnet", ("feature_3", "feature_4", "feature_4", "feature_3", "feature_2")),
        # Its first map has stride 4.
        ("test_mambaout", ("feature_2", "feature_3", "feature_3", "feature_2", "feature_1")),
        # Its first two have strides 1 and 2.
        ("dla34", ("feature_4", "feature_5", "feature_5", "feature_4", "feature_3")),
    ],
)
def test_default_taps_go_by_stride(name: str, expected: tuple[str, ...]) -> None:
    fine, coarse, last, auxiliary, low_level = expected
    assert timm_default_taps(name) == DefaultTaps((fine, coarse), last, auxiliary, low_level, last)


def test_a_model_without_these_strides_is_refused() -> None:
    with pytest.raises(ValueError, match="test_vit lacks a map at stride 8, 16 or 32; it has "):
        timm_default_taps("test_vit")


def test_channels_and_strides_are_timms_own() -> None:
    options: dict[str, Any] = {"features_only": True, "output_stride": 16}
    info: Any = timm.create_model("test_convnext", **options).feature_info
    specs = timm_maps("test_convnext", 16).specs
    assert [spec.channels for spec in specs] == info.channels()
    assert [spec.stride for spec in specs] == info.reduction() == [4, 8, 16, 16]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["ghostnetv2_100", "efficientvit_b0", "vgg11"])
def test_an_output_stride_that_a_model_lacks(name: str, output_stride: int) -> None:
    expected = f"{name} has no output_stride {output_stride} in timm; it runs at 32"
    assert refusal(name, output_stride) == expected
    assert timm_maps(name).specs[-1].stride == 32


def test_a_model_that_is_fine_enough_keeps_its_stride() -> None:
    assert timm_maps("test_vit", 16) == timm_maps("test_vit")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mobilenetv4_conv_smal", "; near are mobilenetv4_conv_small"),
        ("hf-hub:timm/resnet18", f"is none of timm {timm.__version__}'s"),
        ("resnet18.no_such_weights", "gives no feature maps"),
        ("vit_tiny_patch16_224", "cannot be used here (tried at 288x352: Input height"),
        ("inception_v4", "feature_0 is 64x141x173 at 288x352, not stride 2"),
    ],
)
def test_models_that_cannot_be_used(name: str, reason: str) -> None:
    assert reason in refusal(name)


def test_the_number_of_models_is_timms() -> None:
    assert f" {len(timm.list_models())} models" in refusal("zzz")


@pytest.mark.parametrize(
    ("name", "divisor"), [("test_resnet", 1), ("dla34", 32), ("tresnet_m", 32)]
)
def test_sizes_that_a_model_runs_at(name: str, divisor: int) -> None:
    assert timm_maps(name).divisor == divisor


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"pip install 'mnv2-dense\[timm\]'"):
        create_timm("test_resnet")


def test_nothing_is_computed_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.random.get_rng_state()
    timm_maps.__wrapped__("test_byobnet")
    assert torch.equal(torch.random.get_rng_state(), state)
