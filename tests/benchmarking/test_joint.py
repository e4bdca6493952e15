from pathlib import Path

import numpy as np
import torch

from mnv2_dense.benchmarking.joint import (
    DETECTOR,
    JOINT,
    SEGMENTER,
    TWO,
    Compared,
    measure_joint,
)
from mnv2_dense.builders import build_task, joint
from tests.commands.tiny import config_of as detector_config
from tests.commands.tiny import segmentation_config_of
from tests.joint.tiny import config_of


def test_the_joint_network_is_timed_beside_both(shapes_set: Path, tmp_path: Path) -> None:
    config = config_of(shapes_set)
    index = joint.read_split(config, "val")
    tasks = (
        joint.build_task(config, index.categories),
        build_task(detector_config(shapes_set), index.detection.categories),
        build_task(segmentation_config_of(shapes_set), index.segmentation.categories),
    )
    paths = []
    for number, task in enumerate(tasks):
        paths.append(tmp_path / f"{number}.ckpt")
        torch.save({"state_dict": task.state_dict(), "mnv2_dense": task.card}, paths[-1])
    picture = np.zeros((50, 40, 3), np.uint8)
    sections = list(measure_joint(Compared(*paths), picture, threads=1, repetitions=1))
    assert [section.title for section in sections] == [
        "Joint prediction, forward passes",
        "Joint prediction, whole calls",
    ]
    for section in sections:
        assert set(section.timings) == {JOINT, TWO, DETECTOR, SEGMENTER}
        assert [ratio.name for ratio in section.ratios] == [
            f"{JOINT} / {TWO}",
            f"{JOINT} / {DETECTOR}",
        ]
