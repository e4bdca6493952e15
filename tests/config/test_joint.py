from pathlib import Path

import pytest

from mnv2_dense.config.loader import load_any_config, load_config, to_yaml
from mnv2_dense.config.schema import JointConfig, columns_of
from mnv2_dense.errors import UserError
from tests.commands.tiny import CONFIG as DETECTOR
from tests.commands.tiny import run_tool
from tests.joint.tiny import CONFIG


def read(*overrides: str) -> JointConfig:
    config = load_any_config(CONFIG, overrides)
    assert isinstance(config, JointConfig)
    return config


def test_each_column_gets_its_own_sections_and_what_both_share() -> None:
    config = read("backbone.norm_momentum=0.25", "input.mean=[1,2,3]", "training.seed=7")
    detector, segmenter = columns_of(config)
    assert detector.task == "detection"
    assert segmenter.task == "segmentation"
    for column, part in ((detector, config.detection), (segmenter, config.segmentation)):
        assert column.data == part.data
        assert column.loss == part.loss
        assert column.head == part.head
        assert column.training == config.training
        assert column.backbone.model_dump() == config.backbone.model_dump()
        assert column.input.mean == (1.0, 2.0, 3.0)
    assert config.detector().matching == config.detection.matching
    assert config.segmenter().augmentation == config.segmentation.augmentation


def test_a_config_of_one_column_is_that_column() -> None:
    config = load_any_config(DETECTOR)
    assert columns_of(config) == (config,)


def test_a_printed_config_reads_back_as_the_same(tmp_path: Path) -> None:
    config = read("detection.data.root=elsewhere")
    path = tmp_path / "again.yaml"
    path.write_text(to_yaml(config))
    assert load_any_config(path) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detection.data.rot=x", "detection.data.rot is no known key; did you mean"),
        ("data.root=x", "data is no known key"),
        ("detection.data=x", "detection.data is a section; set one of its keys: "),
        ("joint.segmentation_weight=0", "joint.segmentation_weight cannot be 0; allowed: "),
        ("detection.data.format=folders", "detection.data.format cannot be "),
        (
            "segmentation.loss.class_weights=[1,2]",
            "segmentation.loss.class_weights has 2 entries for 11 classes",
        ),
        ("task=joined", "task cannot be 'joined'; allowed: detection, segmentation, joint"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(override)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("tool", ["show_data", "fit_anchors", "check_data"])
def test_commands_for_one_column_refuse_it_in_a_line(tool: str) -> None:
    outcome = run_tool(tool, CONFIG)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "of task joint" in outcome.err


def test_a_loader_of_one_column_refuses_it() -> None:
    with pytest.raises(UserError, match=r"joint_shapes.yaml: of task joint, and this takes a"):
        load_config(CONFIG)
