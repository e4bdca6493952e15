import pytest

from mnv2_dense.config.loader import parse_config, to_yaml
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.errors import UserError


def anchors_of(*overrides: str) -> DetectionConfig:
    config = parse_config({}, overrides)
    assert isinstance(config, DetectionConfig)
    return config


def test_scales_are_spaced_unless_they_are_given() -> None:
    assert anchors_of().anchors.scales is None
    given = anchors_of("anchors.scales=[0.05, 0.1, 1]", "anchors.lowest_scale=0.02")
    assert given.anchors.scales == (0.05, 0.1, 1.0)
    assert given.anchors.lowest_scale == 0.02
    assert "  scales: [0.05, 0.1, 1.0]\n" in to_yaml(given)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("anchors.scales=[0.2, 0.1]", "scales must grow from level to level, finest first"),
        ("anchors.scales=[0.2, 0.2]", "scales must grow from level to level, finest first"),
        (
            "anchors.scales=[0.1, 1.5]",
            "anchors.scales cannot be [0.1, 1.5]; allowed: a list of 1 or more values, each a "
            "number above 0 and of at most 1 or null",
        ),
        ("anchors.scales=[0, 0.5]", "anchors.scales cannot be [0, 0.5]"),
        ("anchors.scales=[]", "anchors.scales cannot be []"),
        ("anchors.scales=0.5", "anchors.scales cannot be 0.5"),
        ("anchors.lowest_scale=0", "anchors.lowest_scale cannot be 0"),
    ],
)
def test_scales_that_cannot_be_are_a_line(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        anchors_of(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
