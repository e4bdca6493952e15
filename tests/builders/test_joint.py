from pathlib import Path

import pytest

from mnv2_dense.builders import any_task, joint
from mnv2_dense.errors import UserError
from tests.joint.tiny import config_of


def test_both_sets_are_read(shapes_set: Path) -> None:
    index = joint.read_split(config_of(shapes_set), "val")
    assert len(index.detection) == len(index.segmentation) == 6
    assert len(index) == 12
    assert len(index.categories) == 10 + 11
    assert any_task.splits_of(index) == (index.detection, index.segmentation)


def test_classes_are_split_as_they_were_joined(shapes_set: Path) -> None:
    config = config_of(shapes_set)
    index = joint.read_split(config, "val")
    boxed, masked = joint.split_categories(config, index.categories)
    assert boxed == list(index.detection.categories)
    assert masked == list(index.segmentation.categories)


def test_classes_that_the_data_say_are_kept(shapes_set: Path) -> None:
    config = config_of(shapes_set, "segmentation.data.classes=null")
    settled = joint.settle_classes(config)
    assert settled.segmentation.data.num_classes == 11
    assert settled.detection == config.detection
    assert joint.settle_classes(settled) == settled


def test_a_data_set_is_known_by_both_parts(shapes_set: Path) -> None:
    config = config_of(shapes_set)
    train, val = (any_task.fingerprint_sets(joint.read_split(config, split)) for split in SPLITS)
    assert len(train.split("+")) == 2
    assert not {*train.split("+")} & {*val.split("+")}


SPLITS = ("train", "val")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("detection.head.taps=[block_99]", "detection: detection.head.taps: unknown taps"),
        ("segmentation.head.tap=block_99", "segmentation: segmentation.head.tap: unknown taps"),
        ("detection.anchors.scales=[0.1]", "detection: detection.anchors.scales: "),
    ],
)
def test_a_network_that_cannot_be_built_is_a_line(override: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        joint.check_network(config_of(Path("data"), override))
    assert str(raised.value).startswith(message)


def test_keys_in_messages_are_those_of_the_joint_config() -> None:
    with pytest.raises(UserError) as raised, joint.part("detection"):
        raise UserError("data.num_classes=11: give head.taps, not x/data.json or metadata.key")
    assert str(raised.value) == (
        "detection: detection.data.num_classes=11: give detection.head.taps, not x/data.json or "
        "metadata.key"
    )


@pytest.mark.parametrize("part", ["detection", "segmentation"])
def test_data_that_are_not_there_are_said_of_their_part(shapes_set: Path, part: str) -> None:
    config = config_of(shapes_set, f"{part}.data.root=nowhere")
    with pytest.raises(UserError, match=f"^{part}: .*nowhere"):
        joint.read_split(config, "train")
