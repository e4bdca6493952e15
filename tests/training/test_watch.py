import copy
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mnv2_dense.errors import UserError
from mnv2_dense.ops.state_dict import list_non_finite
from mnv2_dense.training.averaging import ema_callback
from mnv2_dense.training.watch import NumericalWatch, watch_of
from tests.commands.tiny import only_run, train
from tests.training.tiny import bare_trainer, tiny_trainer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`"),
]

NAN, INF = math.nan, math.inf


class Batch(NamedTuple):
    """Pictures, and what to multiply the loss and its gradient by."""

    images: Tensor
    image_ids: list[int]
    loss: float = 1.0
    gradient: float = 1.0


class _Spoil(torch.autograd.Function):
    """The number itself, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


class Watched(LightningModule):
    """A norm and a layer, with momentum, decay and a rate that changes every step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 1))

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        # As in a real network, what is no number goes through the norms.
        images = batch.images * (batch.loss if math.isnan(batch.loss) else 1)
        error = self.network(images).square().mean() * batch.loss
        losses = {"loss": _Spoil.apply(error, batch.gradient), "error": error}
        return watch_of(self.trainer).check(self, losses, batch.image_ids)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class States(Callback):
    """Remembers everything that a step may change, as it is after every batch."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        keys = ("state_dict", "current_model_state", "averaging_state", "optimizer_states")
        state = {key: copy.deepcopy(checkpoint[key]) for key in keys}
        for group in state["optimizer_states"][0]["param_groups"]:
            del group["lr"]
        self.kept.append(state)


def batches(count: int, **changes: Batch) -> list[Batch]:
    """Batches of which those named, as `at_3`, are changed."""
    generator = torch.Generator().manual_seed(1)
    made = [
        Batch(torch.randn(4, 3, 2, 2, generator=generator), [10 * index, 10 * index + 1])
        for index in range(count)
    ]
    for name, change in changes.items():
        index = int(name.removeprefix("at_"))
        made[index] = made[index]._replace(loss=change.loss, gradient=change.gradient)
    return made


def spoilt(loss: float = 1.0, gradient: float = 1.0) -> Batch:
    return Batch(torch.zeros(0), [], loss, gradient)


def fit(
    run: Path, data: Sequence[Batch], watch: NumericalWatch | None = None, **options: Any
) -> Trainer:
    callbacks = [*([] if watch is None else [watch]), *options.pop("callbacks", [])]
    trainer = tiny_trainer(run, callbacks, **{"max_epochs": 1, **options})
    trainer.fit(Watched(), DataLoader(list(data), batch_size=None))  # pyrefly: ignore
    return trainer


def written(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "bad_steps.jsonl").read_text().splitlines()]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_without_a_watch_a_bad_loss_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss is nan at step 2, epoch 0, images 20, 21; the ch"):
        fit(tmp_path, batches(4, at_2=spoilt(NAN)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_bad_loss_stops_the_run_and_is_written_down(tmp_path: Path, value: float) -> None:
    saved = ModelCheckpoint(tmp_path / "checkpoints", "last", every_n_train_steps=1)
    with pytest.raises(UserError) as stop:
        fit(tmp_path, batches(4, at_2=spoilt(value)), NumericalWatch(tmp_path), callbacks=[saved])
    last, previous = (tmp_path / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    assert str(stop.value).startswith(
        f"the training loss is {value} at step 2, epoch 0, images 20, 21 "
        f"(all in {tmp_path / 'bad_steps.jsonl'}); the checkpoints saved before it are intact: "
        f"{previous} (after 1 step), {last} (after 2 steps). Lower optimizer.learning_rate, "
    )
    losses = {"loss": str(value), "error": str(value)}
    batch = {"batch": 2, "image_ids": [20, 21], "losses": losses}
    assert written(tmp_path) == [
        {
            **{"what": "loss", "step": 2, "epoch": 0, "processes": [[batch]]},
            **{"parameters": [], "left_out": False},
        }
    ]
    assert torch.load(last, weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_bad_gradient_stops_the_run_before_anything_is_saved(
    tmp_path: Path, value: float, clip: float | None
) -> None:
    """The loss is finite; step 2 is the last, so no other loss is looked at."""
    saved = ModelCheckpoint(tmp_path / "checkpoints", "last", every_n_train_steps=1)
    options = {"callbacks": [saved], "gradient_clip_val": clip}
    with pytest.raises(UserError, match=r"gradient is not finite in network.* at step 2, .* 20, 2"):
        fit(tmp_path, batches(3, at_2=spoilt(gradient=value)), NumericalWatch(tmp_path), **options)
    (line,) = written(tmp_path)
    assert (line["what"], line["step"], line["left_out"]) == ("gradient", 2, False)
    assert line["parameters"][0] == "network.0.weight"
    assert math.isfinite(line["processes"][0][0]["losses"]["error"])
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2


def test_a_network_with_a_bad_gradient_is_not_validated(tmp_path: Path) -> None:
    module, validated = Watched(), list[int]()
    module.validation_step = lambda batch, index: validated.append(index)  # pyrefly: ignore
    trainer = tiny_trainer(tmp_path, [NumericalWatch(tmp_path)], max_epochs=1)
    train, val = batches(3, at_2=spoilt(gradient=INF)), batches(2)
    ready, measured = [DataLoader(list(each), batch_size=None) for each in (train, val)]  # pyrefly: ignore
    with pytest.raises(UserError, match=r"not finite in network.0.weight, .* at step 2, epoch 0, "):
        trainer.fit(module, ready, measured)
    assert not validated


def test_a_bad_gradient_is_named_with_its_own_step_by_the_next(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"gradient is not finite .* at step 1, epoch 0, images 10, "
    ):
        fit(tmp_path, batches(4, at_1=spoilt(gradient=INF)), NumericalWatch(tmp_path))
    assert written(tmp_path)[0]["processes"][0][0]["image_ids"] == [10, 11]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("change", [spoilt(NAN), spoilt(INF), spoilt(gradient=INF)], ids=str)
def test_a_step_that_is_left_out_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Batch, accumulate: int
) -> None:
    states, watch = States(), NumericalWatch(tmp_path, skips=1)
    trainer = fit(
        tmp_path,
        batches(8, at_4=change),
        watch,
        callbacks=[ema_callback(0.9), states],
        accumulate_grad_batches=accumulate,
        gradient_clip_val=1.0,
    )
    last = 4 + accumulate - 1  # batch of the step that is left out
    assert same(states.kept[last], states.kept[3])
    assert not same(states.kept[-1]["state_dict"], states.kept[last]["state_dict"])
    assert all(bool(torch.isfinite(each).all()) for each in states.kept[-1]["state_dict"].values())
    assert (watch.skipped, trainer.global_step) == (1, 8 // accumulate)
    assert len(watch.history.last) == 8 // accumulate - 1
    step = 4 // accumulate
    assert f"at step {step}, epoch 0, images 40, 41" in capsys.readouterr().out
    assert [(line["step"], line["left_out"]) for line in written(tmp_path)] == [(step, True)]


def test_the_limit_ends_the_run_also_when_it_was_resumed(tmp_path: Path) -> None:
    data = batches(6, at_1=spoilt(NAN), at_3=spoilt(gradient=NAN))
    watch = NumericalWatch(tmp_path, skips=2)
    fit(tmp_path, data, watch)
    again = NumericalWatch(tmp_path, skips=2)
    again.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert again.state_dict() == watch.state_dict()
    with pytest.raises(UserError, match=r"at step 1, .*; 2 steps were left out before it; "):
        fit(tmp_path, data, again)
    assert [line["left_out"] for line in written(tmp_path)] == [True, True, False]


def test_a_watched_run_is_the_run_itself(tmp_path: Path) -> None:
    """Neither the watch nor its readiness to leave steps out changes a good run."""
    kept = []
    for watch in (None, NumericalWatch(tmp_path), NumericalWatch(tmp_path, skips=3)):
        states = States()
        fit(tmp_path, batches(5), watch, callbacks=[ema_callback(0.9), states])
        kept.append(states.kept)
    assert same(kept[0], kept[1])
    assert same(kept[0], kept[2])
    assert not (tmp_path / "bad_steps.jsonl").exists()


def test_an_exploded_loss_stops_the_run_with_advice(tmp_path: Path) -> None:
    changes = {f"at_{index}": spoilt(1e6) for index in range(30, 60)}
    saved = ModelCheckpoint(
        tmp_path / "checkpoints", "{step}", every_n_train_steps=15, save_top_k=-1
    )
    with pytest.raises(UserError) as stop:
        fit(
            tmp_path,
            batches(60, **changes),
            NumericalWatch(tmp_path, divergence_factor=10),
            callbacks=[saved],
            gradient_clip_val=1e-9,
        )
    message = str(stop.value)
    assert "the training loss has exploded: the median of the 20 steps up to step 40, " in message
    good = tmp_path / "checkpoints" / "step=15.ckpt"
    assert f"the checkpoints saved before it are intact: {good} (after 15 steps). L" in message
    assert (good.parent / "step=30.ckpt").exists()  # within the steps that have exploded
    assert "lower (now 1e-09) training.gradient_clip_norm, and go on from" in message


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step")  # as the scaler takes no step
def test_an_infinite_gradient_is_left_to_the_scaler(tmp_path: Path) -> None:
    """It counts as no bad step; a bad loss does, and leaves the scaler fit to go on."""
    watch = NumericalWatch(tmp_path, skips=1)
    trainer = bare_trainer(
        tmp_path, max_epochs=1, callbacks=[watch], plugins=[MixedPrecision("16-mixed", "cpu")]
    )
    data = batches(6, at_0=spoilt(gradient=INF), at_2=spoilt(NAN), at_4=spoilt(gradient=INF))
    module = Watched()
    trainer.fit(module, DataLoader(list(data), batch_size=None))  # pyrefly: ignore
    assert [(line["what"], line["step"]) for line in written(tmp_path)] == [("loss", 2)]
    assert all(bool(torch.isfinite(each).all()) for each in module.parameters())


def test_an_explosion_may_be_allowed(tmp_path: Path) -> None:
    changes = {f"at_{index}": spoilt(1e6) for index in range(30, 60)}
    trainer = fit(
        tmp_path, batches(60, **changes), NumericalWatch(tmp_path), gradient_clip_val=1e-9
    )
    assert trainer.global_step == 60


class Ranked(Watched):
    """Two processes, of which only the second meets what is not finite."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        if self.global_rank == 0:
            batch = batch._replace(loss=1.0)
        ids = [each + 1000 * self.global_rank for each in batch.image_ids]
        return super().training_step(batch._replace(image_ids=ids), _index)

    def on_train_batch_end(self, *_: Any) -> None:
        path = self.folder / f"{self.global_rank}-{self.global_step}.pt"
        weights = dict(self.named_parameters())
        torch.save({name: each.detach().clone() for name, each in weights.items()}, path)


@pytest.mark.filterwarnings("ignore")  # of processes that fork
def test_what_one_process_meets_all_leave_out_or_stop_at(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[NumericalWatch(tmp_path, skips=1)],
    )
    data = batches(5, at_1=spoilt(NAN), at_3=spoilt(NAN))
    with pytest.raises(Exception, match="loss is nan at step 3, epoch 0, images 1030, 1031 "):
        trainer.fit(Ranked(tmp_path), DataLoader(list(data), batch_size=None))  # pyrefly: ignore
    first, second = written(tmp_path)
    assert [each[0]["image_ids"] for each in first["processes"]] == [[10, 11], [1010, 1011]]
    assert [each[0]["losses"]["loss"] == "nan" for each in first["processes"]] == [False, True]
    assert (first["step"], first["left_out"]) == (1, True)
    assert (second["step"], second["left_out"]) == (3, False)
    ended = [[torch.load(tmp_path / f"{rank}-{step}.pt") for step in (1, 2, 3)] for rank in (0, 1)]
    assert same(ended[0], ended[1])
    assert same(ended[0][0], ended[0][1])
    assert not same(ended[0][1], ended[0][2])


def test_a_rate_far_too_high_ends_the_command_with_advice(shapes_set: Path, tmp_path: Path) -> None:
    """The first step is a small one, the second beyond all bounds; an epoch is one step."""
    outcome = train(
        shapes_set,
        tmp_path,
        *("optimizer.learning_rate=1e27", "schedule.warmup_factor=1e-30"),
        *("schedule.warmup_steps=500", "training.accumulate_batches=3", "training.epochs=4"),
    )
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    (line,) = written(only_run(tmp_path))
    assert f" at step {line['step']}, epoch {line['epoch']}, images " in outcome.err
    assert "Lower optimizer.learning_rate, lengthen schedule.warmup_steps" in outcome.err
    good = [Path(path) for path in re.findall(r"(\S+\.ckpt) \(after", outcome.err)]
    assert set(good) == set((only_run(tmp_path) / "checkpoints").glob("*.ckpt"))
    assert not [name for path in good for name in list_non_finite(state_of(path))]


def state_of(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]
