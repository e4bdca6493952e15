from pathlib import Path

import numpy as np
import pytest
import torch

from mnv2_dense.builders import joint
from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.prediction.joint import JointPredictor
from mnv2_dense.structures import ImageSize
from tests.joint.tiny import config_of, spread_norms


@pytest.fixture
def predictor(shapes_set: Path, tmp_path: Path) -> JointPredictor:
    config = config_of(shapes_set)
    torch.manual_seed(0)
    task = joint.build_task(config, joint.read_split(config, "val").categories)
    spread_norms(task.network)
    path = tmp_path / "joint.ckpt"
    torch.save({"state_dict": task.state_dict(), "mnv2_dense": task.card}, path)
    return JointPredictor(read_checkpoint(path), path, score_threshold=0.05)


def test_both_results_come_of_one_pass(predictor: JointPredictor) -> None:
    passes: list[str] = []
    for name, module in predictor.task.network.named_children():
        module.register_forward_hook(lambda *_, name=name: passes.append(name))
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    seen = predictor.predict(picture)
    assert passes == ["backbone", "detection_head", "segmentation_head"]
    assert seen.segmentation.label_map.shape == (48, 80)
    assert seen.detection.size == ImageSize(48, 80)
    assert (seen.detection.scores >= np.float32(0.05)).all()
    assert len(seen.detection.categories) == 10
    assert len(seen.segmentation.categories) == 11


def test_a_checkpoint_of_one_column_is_refused(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match="of task detection; a checkpoint of task joint is needed"):
        JointPredictor(read_checkpoint(path), path)
