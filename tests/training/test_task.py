import math
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader
from torchmetrics import Metric

from mnv2_dense.errors import UserError
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.training.averaging import ema_callback
from mnv2_dense.training.run_log import RunLog
from mnv2_dense.training.task import DenseTask
from tests.training.tiny import bare_trainer

CARD = {"version": "1.2", "config": {"a": [1, 2.5, None]}, "categories": [[3, "red"]]}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`"),
]


class Batch(NamedTuple):
    images: Tensor
    image_ids: list[int]


class Terms(NamedTuple):
    first: Tensor
    second: Tensor

    @property
    def total(self) -> Tensor:
        return self.first + self.second


class Brightness(NamedTuple):
    summary: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        return dict(self.summary)


class BrightnessMetric(Metric):
    """Sum of all pixels seen."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, images: Tensor) -> None:
        self.total += images.float().sum()

    def compute(self) -> Brightness:
        return Brightness({"brightness": float(self.total)})


class TinyTask(DenseTask):
    """Pushes one output of a picture to 1; its score is the brightness of the set."""

    score = "val/brightness"
    metric: BrightnessMetric | None

    def losses(self, batch: Batch) -> Terms:
        error = (self(batch.images) - 1).square().mean()
        return Terms(error, 2 * error)

    def validation_step(self, batch: Batch, _index: int) -> None:
        if self.metric is not None:
            self.metric.update(batch.images)
        self.log("val/loss", self.losses(batch).total, batch_size=len(batch.images))

    def keep(self) -> None:
        assert isinstance(self.metric, BrightnessMetric)
        self.kept = float(self.metric.total)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(1))


def make_task(**options: Any) -> TinyTask:
    module = network()
    module(torch.zeros(2, 3, 4, 4))
    defaults: dict[str, Any] = {
        "metric": None,
        "mean": (127.5, 127.5, 127.5),
        "std": (127.5, 127.5, 127.5),
        "make_optimizer": lambda module: SGD(module.parameters(), lr=0.01, momentum=0.9),
        "learning_rate_factor": lambda step, total: 1.0,
        "card": CARD,
    }
    return TinyTask(module, **{**defaults, **options})


def batch() -> Batch:
    images = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).to(torch.uint8)
    return Batch(images, [100, 101])


def loader(*batches: Batch) -> DataLoader[Any]:
    return DataLoader(list(batches), batch_size=None)  # pyrefly: ignore


def test_images_are_normalised_per_channel() -> None:
    task = make_task(mean=(100.0, 110.0, 120.0), std=(1.0, 2.0, 4.0))
    normalized = task.normalize(torch.full((1, 3, 4, 4), 130, dtype=torch.uint8))
    assert normalized[0, :, 2, 3].tolist() == [30, 10, 2.5]


@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_format_of_the_images(channels_last: bool) -> None:
    images = make_task(channels_last=channels_last).normalize(batch().images)
    assert images.is_contiguous(memory_format=torch.channels_last) is channels_last


def test_terms_of_the_loss_are_logged_and_add_up(tmp_path: Path) -> None:
    run = bare_trainer(tmp_path, max_steps=1)
    run.fit(make_task(), loader(batch()))
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert set(logged) == {"train/loss", "train/first", "train/second"}
    assert logged["train/second"] == pytest.approx(2 * logged["train/first"])
    assert logged["train/loss"] == pytest.approx(3 * logged["train/first"])


def test_where_steps_are_of_several_losses_that_of_the_step_is_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    monkeypatch.setattr(type(task), "takes_turns", True)
    run = bare_trainer(tmp_path, max_steps=1, log_every_n_steps=1)
    run.loggers = [RunLog(tmp_path / "metrics.csv")]
    run.fit(task, loader(batch()))
    assert set(run.progress_bar_metrics) == {"train/first", "train/second"}
    assert set(run.logged_metrics) == {"train/first", "train/second"}
    assert "train/loss" in run.callback_metrics  # A dry run tells it.


def test_scores_of_a_set_are_kept_and_logged_and_the_metric_emptied(tmp_path: Path) -> None:
    """Pixels of the evaluation before would still count."""
    task = make_task(metric=BrightnessMetric())
    run = bare_trainer(tmp_path)
    once = float(batch().images.float().sum())
    for batches in (2, 1):
        run.validate(task, loader(*[batch()] * batches), verbose=False)
        assert float(run.callback_metrics["val/brightness"]) == batches * once
        assert task.scores == Brightness({"brightness": batches * once})
        assert task.kept == batches * once  # `keep` came before the metric was emptied


def test_without_a_metric_only_the_loss_is_logged(tmp_path: Path) -> None:
    run = bare_trainer(tmp_path)
    task = make_task()
    run.validate(task, loader(batch()), verbose=False)
    assert set(run.callback_metrics) == {"val/loss"}
    assert task.scores is None


def test_checkpoint_holds_the_card_and_plain_data_only(tmp_path: Path) -> None:
    task = make_task(metric=BrightnessMetric())
    run = bare_trainer(tmp_path, max_steps=1)
    run.fit(task, loader(batch()))
    run.save_checkpoint(tmp_path / "last.ckpt")
    content = read_checkpoint(tmp_path / "last.ckpt")  # weights_only
    assert content["mnv2_dense"] == CARD
    assert set(content["state_dict"]) == {f"network.{name}" for name in task.network.state_dict()}


def test_weights_are_trained_channels_last_and_saved_in_the_usual_layout(tmp_path: Path) -> None:
    task = make_task(channels_last=True)
    task.network[0] = nn.Conv2d(3, 2, 3, padding=1)  # pyrefly: ignore[unsupported-operation]
    run = bare_trainer(tmp_path, max_steps=1, callbacks=[ema_callback(0.9)])
    run.fit(task, loader(batch()))
    weight = task.network.get_parameter("0.weight")
    assert not weight.is_contiguous()
    assert weight.is_contiguous(memory_format=torch.channels_last)
    run.save_checkpoint(tmp_path / "last.ckpt")
    content = read_checkpoint(tmp_path / "last.ckpt")
    for key in ("state_dict", "current_model_state"):
        assert all(each.is_contiguous() for each in content[key].values())
    assert torch.equal(content["state_dict"]["network.0.weight"], weight)


def test_learning_rate_follows_the_factor_at_every_step(tmp_path: Path) -> None:
    rates: list[float] = []
    totals: set[int] = set()

    def factor(step: int, total: int) -> float:
        totals.add(total)
        return 1 / (1 + step)

    class Keep(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    run = bare_trainer(tmp_path, max_epochs=2, callbacks=[Keep()])
    run.fit(make_task(learning_rate_factor=factor), loader(batch(), batch()))
    assert rates == pytest.approx([0.01, 0.01 / 2, 0.01 / 3, 0.01 / 4])
    assert totals == {4}


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_images(tmp_path: Path) -> None:
    task = make_task()
    nn.init.constant_(task.network.get_parameter("0.bias"), math.nan)
    with pytest.raises(UserError, match=r"loss is nan at step 0.*images 100, 101"):
        bare_trainer(tmp_path, max_steps=1).fit(task, loader(batch()))


def test_training_resumes_from_its_own_checkpoint(tmp_path: Path) -> None:
    """Two epochs in one go and in two parts end in the same weights."""
    whole, first, second = (make_task() for _ in range(3))
    bare_trainer(tmp_path, max_epochs=2).fit(whole, loader(batch()))
    run = bare_trainer(tmp_path, max_epochs=1)
    run.fit(first, loader(batch()))
    run.save_checkpoint(tmp_path / "last.ckpt")
    bare_trainer(tmp_path, max_epochs=2).fit(
        second, loader(batch()), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], tensor, rtol=0, atol=0)
