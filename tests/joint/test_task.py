from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

from mnv2_dense.builders import any_task, joint
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.joint.task import JointTask
from mnv2_dense.structures import (
    BatchTargets,
    DetectionBatch,
    ImageSize,
    SegmentationBatch,
)
from tests.joint.tiny import SIZE, config_of, spread_norms


@pytest.fixture
def task(shapes_set: Path) -> JointTask:
    config = config_of(shapes_set, "joint.segmentation_weight=0.25")
    index = joint.read_split(config, "val")
    torch.manual_seed(0)
    task = joint.build_task(config, index.categories)
    spread_norms(task.network)
    return task


def pixels(count: int, height: int = SIZE, width: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def boxes() -> DetectionBatch:
    targets = BatchTargets(
        torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([2]), torch.tensor([0])
    )
    return DetectionBatch(pixels(2), targets, [1, 2], [ImageSize(SIZE, SIZE)] * 2)


def maps() -> SegmentationBatch:
    label_maps = pixels(2)[:, 0] % 11
    return SegmentationBatch(pixels(2), label_maps, [ImageSize(SIZE, SIZE)] * 2, ["a", "b"])


def test_a_batch_with_boxes_has_the_detectors_loss(task: JointTask) -> None:
    terms = task.losses(boxes())
    named = terms._asdict()
    assert list(named) == ["detection_loss", "classification", "localization"]
    total = named["classification"] + named["localization"]
    assert torch.equal(terms.total, named["detection_loss"])
    assert torch.equal(total, named["detection_loss"])


def test_a_batch_with_label_maps_has_the_segmenters_loss_weighted(task: JointTask) -> None:
    terms = task.losses(maps())
    named = terms._asdict()
    assert torch.equal(named["segmentation_loss"], named["cross_entropy"])
    assert torch.equal(terms.total, 0.25 * named["segmentation_loss"])


def test_a_step_leaves_the_other_head_as_it_is(task: JointTask) -> None:
    optimizer = task.make_optimizer(task.network)
    for batch, head, other in (
        (boxes(), "detection_head", "segmentation_head"),
        (maps(), "segmentation_head", "detection_head"),
    ):
        before = {name: value.clone() for name, value in task.network.state_dict().items()}
        optimizer.zero_grad()
        task.losses(batch).total.backward()
        optimizer.step()
        after = task.network.state_dict()
        changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
        assert changed == {"backbone", head}
        assert other not in changed


def test_a_picture_is_seen_in_one_pass_at_its_own_size(task: JointTask) -> None:
    passes: list[int] = []
    assert isinstance(task.network, JointNetwork)
    task.network.backbone.register_forward_hook(lambda *_: passes.append(1))
    sizes = [ImageSize(SIZE, SIZE), ImageSize(30, 50)]
    with torch.no_grad():
        first, second = task.eval().see(pixels(2), sizes)
    assert passes == [1]
    assert first.label_map.shape == sizes[0]
    assert second.label_map.shape == sizes[1]
    assert second.detections.boxes[:, 2].max() <= 50
    assert second.detections.boxes[:, 3].max() <= 30


def test_validation_measures_both_sets(task: JointTask, shapes_set: Path) -> None:
    config = config_of(shapes_set)
    data = any_task.build_data(config, None, joint.read_split(config, "val"))
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    task.keep_results = True
    (logged,) = {tuple(sorted(each)) for each in trainer.validate(task, data, verbose=False)[:1]}
    assert {"val/detection_loss", "val/segmentation_loss"} <= set(trainer.callback_metrics)
    assert {"val/mAP", "val/mIoU", "val/score"} <= set(trainer.callback_metrics)
    assert logged
    assert task.scores.segmentation.confusion_matrix.sum() > 0
    assert task.results is not None
    assert task.errors is not None
