from typing import Any

import pytest

from mnv2_dense.builders.trained import BACKBONE, check_same, find_differences, settled_keys
from mnv2_dense.config.loader import parse_config
from mnv2_dense.errors import UserError


def config(*overrides: str, task: str = "detection") -> dict[str, Any]:
    return parse_config({"task": task}, overrides).model_dump()


def test_a_source_that_states_a_backbone_states_its_variant() -> None:
    given = config("backbone.shortcut=none", "backbone.padding=same")
    trained = {"backbone": {"padding": "same"}}
    assert find_differences(given, trained, BACKBONE) == ["backbone.shortcut=bottleneck (not none)"]
    assert find_differences(given, {}, BACKBONE) == []
    with pytest.raises(UserError, match=r"^w.pb: was trained with backbone.shortcut=bottleneck"):
        check_same(given, trained, "w.pb")


@pytest.mark.parametrize(
    ("name", "stored", "given", "same"),
    [
        ("mobilenet_v2", None, 0.001, True),
        ("mobilenet_v2", 0.0010000000474974513, None, True),
        ("mobilenet_v2", None, 1e-5, False),
        ("timm/resnet18", None, 0.001, False),
        ("timm/resnet18", None, None, True),
    ],
)
def test_epsilons_are_compared_by_what_they_stand_for(
    name: str, stored: float | None, given: float | None, same: bool
) -> None:
    ours, theirs = ({"backbone": {"name": name, "norm_epsilon": each}} for each in (given, stored))
    assert bool(find_differences(ours, theirs, {"backbone": ("norm_epsilon",)})) != same


def test_normalisations_that_files_round_differ_only_exactly() -> None:
    given, trained = config("input.mean=[128, 128, 128]"), config("input.mean=[127.5, 127, 127]")
    keys = {"input": ("mean", "std")}
    assert find_differences(given, trained, keys) == []
    assert len(find_differences(given, trained, keys, exact=True)) == 1


def test_keys_of_use_are_not_settled() -> None:
    settings: dict[str, dict[str, Any]] = {
        "input": {"mean": 1, "resize": "bilinear"},
        "backbone": {"padding": "same", "width_mult": 1.0},
        "data": {"classes": []},
        "decode": {"nms": "per_class"},
    }
    keys = settled_keys(settings)
    assert set(keys) == {"input", "backbone"}
    assert keys["input"] == ["mean"]
    assert {"width_mult", "padding", "shortcut"} <= set(keys["backbone"])
