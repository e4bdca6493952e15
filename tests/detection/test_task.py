import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader

from mnv2_dense.backbone.mobilenet_v2 import SSD_TAPS, MobileNetV2
from mnv2_dense.coco_evaluation.files import read_ground_truth
from mnv2_dense.coco_evaluation.records import records_of
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.data import collate, join_targets
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.loss import SSDLoss
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.network import Detector, DetectorOutputs
from mnv2_dense.detection.scoring import SUMMARY_KEYS
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.structures import BoxTargets, Category, DetectionBatch, ImageSize
from tests.training.tiny import KeepLosses, bare_trainer

CATEGORIES = (Category(3, "red"), Category(7, "green"))
INPUT = ImageSize(64, 64)
ORIGINAL = ImageSize(height=128, width=256)
CARD = {"version": "1.2", "config": {"a": [1, 2.5, None]}, "categories": [[3, "red"]]}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`"),
]


def picture(number: int) -> tuple[Tensor, BoxTargets]:
    """A red or a green rectangle on gray, in the input's pixels."""
    label, left, top = number % 2, 4 + 6 * number, 10 + 5 * number
    image = torch.full((3, 64, 64), 100, dtype=torch.uint8)
    image[:, top : top + 24, left : left + 30] = 20
    image[label, top : top + 24, left : left + 30] = 230
    box = torch.tensor([[left, top, left + 30, top + 24]], dtype=torch.float32)
    return image, BoxTargets(box, torch.tensor([label]))


def batch(numbers: tuple[int, ...] = (0, 1, 2, 3)) -> DetectionBatch:
    images, targets = zip(*(picture(number) for number in numbers), strict=True)
    ids = [100 + number for number in numbers]
    return DetectionBatch(
        torch.stack(images), join_targets(targets), ids, [ORIGINAL] * len(numbers)
    )


def loader(*batches: DetectionBatch) -> DataLoader[Any]:
    return DataLoader(list(batches), batch_size=None)  # pyrefly: ignore


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """COCO file in the pixels of the originals: 4 times as wide, twice as high."""
    boxes = []
    for number in range(4):
        _, targets = picture(number)
        left, top, right, bottom = targets.boxes[0].tolist()
        boxes.append(
            {
                "id": number + 1,
                "image_id": 100 + number,
                "category_id": CATEGORIES[number % 2].category_id,
                "bbox": [left * 4, top * 2, (right - left) * 4, (bottom - top) * 2],
                "area": (right - left) * (bottom - top) * 8,
                "iscrowd": 0,
            }
        )
    content = {
        "images": [{"id": 100 + n, "width": 256, "height": 128} for n in range(4)],
        "annotations": boxes,
        "categories": [{"id": c.category_id, "name": c.name} for c in CATEGORIES],
    }
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    return path


def narrow() -> Detector:
    torch.manual_seed(0)
    backbone, anchors = MobileNetV2(SSD_TAPS, width_mult=0.1), AnchorGenerator()
    head = SSDHead(backbone.specs, anchors.counts, 3, width_mult=0.1)
    return Detector(backbone, head, anchors)


def make_task(network: nn.Module, annotations: Path | None = None, **options: Any) -> DetectionTask:
    defaults: dict[str, Any] = {
        "loss": SSDLoss(),
        "decoder": Decoder(),
        "metric": None
        if annotations is None
        else CocoDetectionMetric(partial(read_ground_truth, annotations), CATEGORIES),
        "mean": (127.5, 127.5, 127.5),
        "std": (127.5, 127.5, 127.5),
        "make_optimizer": lambda module: AdamW(module.parameters(), lr=0.005),
        "learning_rate_factor": lambda step, total: 1.0,
        "card": CARD,
    }
    return DetectionTask(network, **{**defaults, **options})


class Oracle(nn.Module):
    """Knows the right outputs of the four pictures, and tells one picture from another."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        cells = [ImageSize(4, 4), ImageSize(2, 2), *[ImageSize(1, 1)] * 4]
        self.anchors = AnchorGenerator()(cells, INPUT, torch.device("cpu"))

    def forward(self, images: Tensor) -> DetectorOutputs:
        known = [picture(number) for number in range(4)]
        pixels = images * 127.5 + 127.5
        numbers = [
            min(range(4), key=lambda n: float((known[n][0] - image).abs().sum()))
            for image in pixels
        ]
        targets = join_targets([known[number][1] for number in numbers])
        slots, deltas = SSDLoss().assign(self.anchors, targets, len(images), INPUT)
        logits = nn.functional.one_hot(slots, 3) * 20 + self.nothing
        return DetectorOutputs(logits, deltas, self.anchors)


@pytest.mark.parametrize("channels_last", [pytest.param(False, marks=pytest.mark.long), True])
def test_training_lowers_the_loss_and_finds_the_boxes(
    tmp_path: Path, annotations: Path, channels_last: bool
) -> None:
    task = make_task(narrow(), annotations, channels_last=channels_last)
    kept = KeepLosses()
    run = bare_trainer(tmp_path, max_epochs=60, callbacks=[kept], check_val_every_n_epoch=60)
    # The norms' statistics must keep up with so short a run.
    for layer in task.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.3
    run.fit(task, loader(batch()), loader(batch((0, 1)), batch((2, 3))))
    assert len(kept.losses) == 60
    assert all(math.isfinite(value) for value in kept.losses)
    assert sum(kept.losses[-5:]) < 0.2 * sum(kept.losses[:5])
    assert run.callback_metrics["val/AP50"] > 0.5


def test_right_outputs_reach_a_perfect_score(tmp_path: Path, annotations: Path) -> None:
    """Proves scaling to the original, labels to category ids, and the twelve logged numbers."""
    task = make_task(Oracle(), annotations)
    task.keep_results = True
    run = bare_trainer(tmp_path)
    run.validate(task, loader(batch((0, 1, 2)), batch((3,))), verbose=False)
    logged = {key: run.callback_metrics[f"val/{key}"].item() for key in SUMMARY_KEYS}
    for key in ("mAP", "AP50", "AP75", "AR1", "AR100"):
        assert logged[key] == pytest.approx(1)
    assert task.scores is not None
    assert task.scores.summary == pytest.approx(logged)
    assert set(task.scores.per_class) == {"red", "green"}
    assert task.results is not None
    found = records_of(task.results)
    best = [
        max((r for r in found if r["image_id"] == 100 + n), key=lambda r: r["score"])
        for n in range(4)
    ]
    assert [row["category_id"] for row in best] == [3, 7, 3, 7]
    assert best[1]["bbox"] == pytest.approx([10 * 4, 15 * 2, 30 * 4, 24 * 2], abs=0.1)


def test_a_second_evaluation_starts_afresh(tmp_path: Path, annotations: Path) -> None:
    """Detections of the evaluation before would still count, one set per image."""
    task = make_task(Oracle(), annotations)
    run = bare_trainer(tmp_path)
    run.validate(task, loader(batch()), verbose=False)
    assert run.callback_metrics["val/mAP"] == pytest.approx(1)
    task.decoder.max_detections = 0
    run.validate(task, loader(batch()), verbose=False)
    assert run.callback_metrics["val/mAP"] == 0
    assert task.scores is not None
    assert task.scores.images == 4


def test_prediction_is_in_pixels_of_the_original() -> None:
    found = make_task(Oracle()).predict_step(batch((2, 1)), 0)
    assert [int(d.labels[0]) for d in found] == [0, 1]
    expected = torch.tensor([40.0, 30, 160, 78])
    torch.testing.assert_close(found[1].boxes[0], expected, atol=0.01, rtol=0)


def test_checkpoint_holds_the_card_and_plain_data_only(tmp_path: Path, annotations: Path) -> None:
    task = make_task(narrow(), annotations)
    run = bare_trainer(tmp_path, max_steps=1)
    run.fit(task, loader(batch()))
    run.save_checkpoint(tmp_path / "last.ckpt")
    content = read_checkpoint(tmp_path / "last.ckpt")  # weights_only
    assert content["mnv2_dense"] == CARD
    assert set(content["state_dict"]) == {f"network.{name}" for name in task.network.state_dict()}


def test_mixed_precision_trains(tmp_path: Path) -> None:
    kept = KeepLosses()
    run = bare_trainer(tmp_path, max_epochs=2, precision="bf16-mixed", callbacks=[kept])
    run.fit(make_task(narrow(), loss=SSDLoss(mining_nms_iou=0.99)), loader(batch()))
    assert all(math.isfinite(value) for value in kept.losses)


def test_a_batch_whose_pictures_are_all_bad_changes_nothing(
    tmp_path: Path, annotations: Path
) -> None:
    nothing = collate([])
    logged = []
    for batches in ([batch()], [nothing, batch(), nothing]):
        task = make_task(Oracle(), annotations)
        run = bare_trainer(tmp_path)
        run.validate(task, loader(*batches), verbose=False)
        logged.append({key: value.item() for key, value in run.callback_metrics.items()})
    assert logged[0] == logged[1]
    assert "val/loss" in logged[0]
