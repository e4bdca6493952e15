import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.segmentation.data import collate
from mnv2_dense.segmentation.decode import Decoder
from mnv2_dense.segmentation.head import DeepLabV3Head, FCNHead
from mnv2_dense.segmentation.inference import Inference
from mnv2_dense.segmentation.loss import SegmentationLoss
from mnv2_dense.segmentation.metrics import SegmentationMetric
from mnv2_dense.segmentation.network import OtherStride, Segmenter, SegmenterOutputs
from mnv2_dense.segmentation.scoring import SUMMARY_KEYS
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.structures import (
    IGNORE_INDEX,
    Category,
    ImageSize,
    SegmentationBatch,
    SegmentationSample,
)
from tests.training.tiny import KeepLosses, bare_trainer

CATEGORIES = (Category(0, "gray"), Category(1, "red"), Category(2, "green"))
COLORS = torch.tensor([[100, 100, 100], [230, 20, 20], [20, 230, 20]])
WINDOW = ImageSize(33, 33)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`"),
]


def sample(number: int, height: int = 33, width: int = 33, side: int = 8) -> SegmentationSample:
    """A picture of the classes' colours, with a column of void and some wrong labels."""
    generator = torch.Generator().manual_seed(number)
    blocks = torch.randint(0, 3, (height // side + 1, width // side + 1), generator=generator)
    seen = blocks.repeat_interleave(side, 0).repeat_interleave(side, 1)[:height, :width]
    label_map = seen.to(torch.uint8).clone()
    label_map[:: number + 2, :3] = number % 3
    label_map[:, width // 2] = IGNORE_INDEX
    image = COLORS[seen].permute(2, 0, 1).to(torch.uint8)
    return SegmentationSample(image, label_map, f"picture {number}")


def batch(*sizes: tuple[int, int]) -> SegmentationBatch:
    return collate([sample(number, *size) for number, size in enumerate(sizes or [(33, 33)] * 4)])


def loader(*batches: SegmentationBatch) -> DataLoader[Any]:
    return DataLoader(list(batches), batch_size=None)  # pyrefly: ignore


class Nearest(nn.Module):
    """Sees every pixel for itself: the class whose colour is nearest. Notes what it was given."""

    def __init__(self, sharpness: float = 2.0) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.seen: list[torch.Size] = []

    def forward(self, images: Tensor) -> SegmenterOutputs:
        self.seen.append(images.shape)
        colors = ((COLORS - 127.5) / 127.5).to(images)
        distances = (images[:, None] - colors[:, :, None, None]).square().sum(dim=2)
        return SegmenterOutputs(-self.sharpness * distances)


def make_task(network: nn.Module, **options: Any) -> SegmentationTask:
    defaults: dict[str, Any] = {
        "loss": SegmentationLoss(),
        "inference": Inference(Decoder(), window=WINDOW),
        "metric": SegmentationMetric(CATEGORIES),
        "mean": (127.5, 127.5, 127.5),
        "std": (127.5, 127.5, 127.5),
        "make_optimizer": lambda module: AdamW(module.parameters(), lr=0.005),
        "learning_rate_factor": lambda step, total: 1.0,
        "card": {},
    }
    return SegmentationTask(network, **{**defaults, **options})


def quick(module: nn.Module) -> AdamW:
    return AdamW(module.parameters(), lr=0.02)


def narrow(output_stride: int = 16, *, auxiliary: bool = False) -> Segmenter:
    torch.manual_seed(0)
    taps = ["block_16", "block_12"]
    backbone = MobileNetV2(taps, width_mult=0.1, output_stride=output_stride)
    head = DeepLabV3Head(backbone.specs[0], 3, channels=16, dropout=0.0)
    return Segmenter(backbone, head, FCNHead(backbone.specs[1], 3) if auxiliary else None)


def test_training_lowers_the_loss_and_finds_the_classes(tmp_path: Path) -> None:
    kept = KeepLosses()
    task = make_task(narrow(), make_optimizer=quick, channels_last=True)
    run = bare_trainer(tmp_path, max_epochs=40, callbacks=[kept], check_val_every_n_epoch=40)
    # The norms' statistics must keep up with so short a run.
    for layer in task.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.3
    seen = collate([sample(number, side=17) for number in range(4)])
    run.fit(task, loader(seen), loader(seen))
    assert len(kept.losses) == 40
    assert all(math.isfinite(value) for value in kept.losses)
    assert sum(kept.losses[-5:]) < 0.5 * sum(kept.losses[:5])
    assert run.callback_metrics["val/mIoU"] > 0.5


def test_pixels_are_counted_at_the_original_size_of_every_picture(tmp_path: Path) -> None:
    """Two canvases; pictures smaller and larger than the window, and a single pixel."""
    batches = [batch((33, 33), (20, 9), (1, 1)), batch((70, 40), (12, 90))]
    task = make_task(Nearest())
    run = bare_trainer(tmp_path)
    run.validate(task, loader(*batches), verbose=False)
    expected = np.zeros((3, 3), np.int64)
    for images, label_maps, sizes, *_ in batches:
        for image, label_map, size in zip(images, label_maps, sizes, strict=True):
            colors = image[:, : size.height, : size.width].permute(1, 2, 0)
            seen = (colors[:, :, None] == COLORS).all(dim=-1).int().argmax(dim=-1)
            truth = label_map[: size.height, : size.width]
            valid = truth != IGNORE_INDEX
            np.add.at(expected, (truth[valid].numpy(), seen[valid].numpy()), 1)
    assert task.scores.confusion_matrix.tolist() == expected.tolist()
    assert expected.sum() > 4000
    assert np.trace(expected) < expected.sum()  # some labels are wrong on purpose
    logged = {key: run.callback_metrics[f"val/{key}"].item() for key in SUMMARY_KEYS}
    assert logged == pytest.approx(task.scores.summary)


def test_the_logged_loss_is_the_cross_entropy_of_all_labelled_pixels(tmp_path: Path) -> None:
    """Whatever the training loss: here it mines hard pixels and weighs classes."""
    network, seen = Nearest(), batch((33, 33), (20, 9))
    loss = SegmentationLoss(class_weights=(1, 5, 9), hard_pixel_share=0.1)
    run = bare_trainer(tmp_path)
    run.validate(make_task(network, loss=loss), loader(seen), verbose=False)
    with torch.no_grad():
        logits = network((seen.images.float() - 127.5) / 127.5).class_logits
    expected = F.cross_entropy(logits, seen.label_maps.long(), ignore_index=IGNORE_INDEX)
    assert run.callback_metrics["val/loss"].item() == pytest.approx(float(expected), rel=1e-4)


def test_certain_and_wrong_pixels_cost_no_infinity(tmp_path: Path) -> None:
    run = bare_trainer(tmp_path)
    run.validate(make_task(Nearest(sharpness=1e5)), loader(batch()), verbose=False)
    assert 0 < run.callback_metrics["val/loss"].item() < 100


def test_a_batch_whose_pictures_are_all_bad_changes_nothing(tmp_path: Path) -> None:
    nothing = collate([])
    logged = []
    for batches in ([batch()], [nothing, batch(), nothing]):
        run = bare_trainer(tmp_path)
        run.validate(make_task(Nearest()), loader(*batches), verbose=False)
        logged.append({key: value.item() for key, value in run.callback_metrics.items()})
    assert logged[0] == logged[1]
    assert "val/loss" in logged[0]


def test_a_set_of_void_alone_is_measured_too(tmp_path: Path) -> None:
    seen = batch()
    void = seen._replace(label_maps=torch.full_like(seen.label_maps, IGNORE_INDEX))
    task = make_task(Nearest())
    run = bare_trainer(tmp_path)
    run.validate(task, loader(void), verbose=False)
    assert run.callback_metrics["val/loss"].item() == 0
    assert set(task.scores.summary.values()) == {-1.0}


def test_a_second_evaluation_starts_afresh(tmp_path: Path) -> None:
    """Pixels of the evaluation before would still count."""
    task = make_task(Nearest())
    for _ in range(2):
        bare_trainer(tmp_path).validate(task, loader(batch()), verbose=False)
        assert task.scores.confusion_matrix.sum() == 4 * 33 * 32


def test_the_other_stride_is_used_where_pictures_are_measured_only(tmp_path: Path) -> None:
    with torch.device("meta"):
        structure = narrow(8)
    task = make_task(narrow(16), other_stride=OtherStride(structure))
    task.eval()
    images = batch().images
    with torch.no_grad():
        coarse = task(images).class_logits
        fine = task._run(task.normalize(images)).class_logits
    assert (coarse.shape[2:], fine.shape[2:]) == ((3, 3), (5, 5))
    built = narrow(8).eval()
    built.load_state_dict(task.network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(fine, built(task.normalize(images)).class_logits)
    # Training has gradients, and they come from the network itself.
    assert task.losses(batch()).total.requires_grad
    names = {name.partition(".")[0] for name, _ in task.named_parameters()}
    assert names == {"network"}


def test_the_auxiliary_loss_is_trained_and_not_measured(tmp_path: Path) -> None:
    task = make_task(narrow(auxiliary=True), loss=SegmentationLoss(auxiliary_weight=0.4))
    run = bare_trainer(tmp_path, max_steps=1)
    run.fit(task, loader(batch()), loader(batch()))
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert logged["train/auxiliary"] > 0
    total = logged["train/cross_entropy"] + logged["train/auxiliary"]
    assert logged["train/loss"] == pytest.approx(total)
    assert not [name for name in logged if name.startswith("val/aux")]


def test_prediction_is_a_label_map_of_the_original_size() -> None:
    sizes = ((33, 33), (5, 40), (70, 3))
    seen = batch(*sizes)
    with torch.inference_mode():
        found = make_task(Nearest()).eval().predict_step(seen, 0)
    for number, (label_map, size) in enumerate(zip(found, sizes, strict=True)):
        assert (tuple(label_map.shape), label_map.dtype) == (size, torch.uint8)
        image = sample(number, *size).image.permute(1, 2, 0)
        torch.testing.assert_close(COLORS[label_map.long()].to(torch.uint8), image)


def test_pictures_that_fit_are_seen_at_the_windows_size_at_once() -> None:
    network = Nearest()
    make_task(network).eval().predict_step(batch((20, 33), (5, 5)), 0)
    assert network.seen == [(2, 3, *WINDOW)]


def test_without_a_metric_only_the_loss_is_logged(tmp_path: Path) -> None:
    run = bare_trainer(tmp_path)
    run.validate(make_task(Nearest(), metric=None), loader(batch()), verbose=False)
    assert set(run.callback_metrics) == {"val/loss"}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_mixed_precision_trains_and_measures(tmp_path: Path, batch_size: int) -> None:
    kept = KeepLosses()
    run = bare_trainer(tmp_path, max_epochs=2, precision="bf16-mixed", callbacks=[kept])
    loss = SegmentationLoss(hard_pixel_share=0.25)
    seen = batch(*[(33, 33)] * batch_size)
    run.fit(make_task(narrow(auxiliary=True), loss=loss), loader(seen), loader(seen))
    assert all(math.isfinite(value) for value in kept.losses)
    assert math.isfinite(run.callback_metrics["val/loss"].item())
