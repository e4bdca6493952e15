import json

from tests.commands.tiny import run_tool
from tests.joint.tiny import CONFIG

CLASSES = "detection.data.num_classes=10"


def test_the_joint_network_stands_beside_two() -> None:
    values = json.loads(run_tool("summary", CONFIG, CLASSES, "--json").require_success().out)
    assert values["parameters"] == 550_086
    assert values["multiply_adds"] == 64_628_416
    assert values["anchors"] == 726
    assert [tap["name"] for tap in values["taps"]] == ["block_16"]
    detector, segmenter, two = values["separate"].values()
    # As configs/deeplabv3_shapes.yaml says of that network.
    assert (segmenter["parameters"], segmenter["multiply_adds"]) == (410_459, 58_464_512)
    assert (detector["parameters"], detector["multiply_adds"]) == (389_835, 43_921_856)
    assert (two["parameters"], two["multiply_adds"]) == (800_294, 102_386_368)


def test_layers_and_totals_are_printed() -> None:
    out = run_tool("summary", CONFIG, CLASSES).require_success().out
    assert "detection_head.class_branches.0" in out
    assert "segmentation_head.classifier" in out
    assert "two networks" in out


def test_the_backbone_is_counted_as_a_classifier() -> None:
    assert "classifier" in run_tool("summary", CONFIG, "--classifier").require_success().out
