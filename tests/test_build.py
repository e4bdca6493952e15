from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

from mnv2_dense.build import (
    FOCAL_PRIOR_LOGIT,
    annotation_path,
    build_callbacks,
    build_data,
    build_decoder,
    build_loss,
    build_network,
    build_task,
    build_trainer,
    checkpoint_card,
    count_processes,
    read_categories,
    read_split,
    set_threads,
    trainer_options,
)
from mnv2_dense.config.loader import load_config, parse_config
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.structures import Category
from mnv2_dense.training.averaging import ExponentialAverage
from mnv2_dense.training.best import BestCheckpoint
from mnv2_dense.training.interrupt import InterruptCheckpoint
from mnv2_dense.training.norms import FreezeNorms, SameNormsEverywhere
from tests.commands.tiny import COCO_CONFIG, CONFIG, tiny_overrides

CATEGORIES = (Category(3, "cat"), Category(7, "dog"))


def config_of(*overrides: str) -> DetectionConfig:
    return load_config(CONFIG, [*tiny_overrides(Path("data"), Path("runs")), *overrides])


def test_the_papers_network() -> None:
    network = build_network(load_config(COCO_CONFIG), 80)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_337_013


def test_outputs_have_a_slot_for_the_background() -> None:
    network = build_network(config_of(), 2).eval()
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 64, 64))
    assert outputs.class_logits.shape[-1] == 3


@pytest.mark.parametrize(("name", "prior"), [("focal", FOCAL_PRIOR_LOGIT), ("softmax", 0.0)])
def test_focal_loss_starts_from_its_prior(name: str, prior: float) -> None:
    network = build_network(config_of(f"loss.classification={name}"), 2)
    biases = [
        tensor
        for key, tensor in network.head.named_parameters()
        if key.endswith("bias") and tensor.eq(prior).all() and tensor.numel() % 3 == 0
    ]
    assert biases
    assert torch.sigmoid(torch.tensor(FOCAL_PRIOR_LOGIT)) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    ("loss", "activation"), [("softmax", "softmax"), ("sigmoid", "sigmoid"), ("focal", "sigmoid")]
)
def test_decoder_fits_the_loss(loss: str, activation: str) -> None:
    config = config_of(f"loss.classification={loss}", "decode.max_detections=5")
    decoder = build_decoder(config)
    assert (decoder.activation, decoder.max_detections) == (activation, 5)
    assert build_loss(config).classification == loss


def test_norms_take_the_configs_epsilon_and_momentum() -> None:
    network = build_network(config_of("backbone.norm_epsilon=0.5", "backbone.norm_momentum=0.2"), 2)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.5, 0.2)}


def test_pretrained_weights_are_loaded_only_when_asked_for(tmp_path: Path) -> None:
    source = build_network(config_of(), 2).backbone
    for parameter in source.parameters():
        torch.nn.init.constant_(parameter, 0.125)
    torch.save(source.state_dict(), tmp_path / "backbone.pt")
    config = config_of(f"backbone.weights={tmp_path / 'backbone.pt'}")
    for pretrained in (False, True):
        task = build_task(config, CATEGORIES, pretrained=pretrained)
        weights = [
            parameter.eq(0.125).all()
            for parameter in task.network.get_submodule("backbone").parameters()
        ]
        assert all(weights) is pretrained


def test_the_card_is_plain_and_gives_the_config_back() -> None:
    config = config_of()
    card = checkpoint_card(config, CATEGORIES)
    assert parse_config(card["config"]) == config
    assert card["categories"] == [[3, "cat"], [7, "dog"]]


def test_data_paths_may_be_absolute(tmp_path: Path) -> None:
    assert annotation_path(config_of("data.val_annotations=a.json"), "val") == Path("data/a.json")
    config = config_of(f"data.val_annotations={tmp_path / 'a.json'}")
    assert annotation_path(config, "val") == tmp_path / "a.json"


def test_data_of_a_config(shapes_set: Path) -> None:
    config = config_of(f"data.root={shapes_set}", "training.seed=5")
    train, val = read_split(config, "train"), read_split(config, "val")
    assert read_categories(config) == train.categories
    data = build_data(config, train, val)
    assert (data.seed, data.batch_size, data.num_workers) == (5, 4, 0)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (4, 3, 64, 64)
    assert build_data(config, None, val).train_dataset is None


@pytest.mark.parametrize(
    ("accelerator", "devices", "gpus", "processes"),
    [
        *(("auto", "auto", 0, 1), ("auto", "auto", 4, 4), ("cpu", "auto", 4, 1)),
        *(("gpu", "auto", 4, 4), ("gpu", "2", 4, 2), ("cpu", "2", 0, 2)),
    ],
)
def test_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, devices: str, gpus: int, processes: int
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    overrides = [f"training.accelerator={accelerator}", f"training.devices={devices}"]
    assert count_processes(config_of(*overrides)) == processes
    assert count_processes(config_of(*overrides, "training.num_nodes=3")) == 3 * processes


def test_several_processes_do_not_send_buffers() -> None:
    strategy = trainer_options(config_of("training.devices=2"))["strategy"]
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["broadcast_buffers"] is False
    assert trainer_options(config_of())["strategy"] == "auto"


def test_trainer_of_a_config(tmp_path: Path) -> None:
    trainer = build_trainer(
        config_of("training.max_steps=7", "training.accumulate_batches=3"), tmp_path
    )
    assert (trainer.max_steps, trainer.max_epochs) == (7, 1)
    assert trainer.accumulate_grad_batches == 3
    folders = [Path(str(logger.log_dir)) for logger in trainer.loggers]
    assert folders == [tmp_path, tmp_path / "tensorboard"]


def test_callbacks_stand_in_the_order_they_need(tmp_path: Path) -> None:
    callbacks = build_callbacks(
        config_of(
            "training.ema_decay=0.9",
            "training.freeze_norm_epochs=1",
            "training.early_stopping_patience=3",
        ),
        tmp_path,
    )
    kinds = [type(callback) for callback in callbacks]
    # The average is swapped in before its buffers are made equal.
    assert kinds.index(ExponentialAverage) < kinds.index(SameNormsEverywhere)
    assert kinds[-3:] == [BestCheckpoint, ModelCheckpoint, InterruptCheckpoint]
    stopping = callbacks[kinds.index(EarlyStopping)]
    assert isinstance(stopping, EarlyStopping)
    assert (stopping.patience, stopping.mode) == (3, "max")


def test_callbacks_that_nobody_asked_for_are_absent(tmp_path: Path) -> None:
    kinds = {type(callback) for callback in build_callbacks(config_of(), tmp_path)}
    assert not kinds & {ExponentialAverage, FreezeNorms, EarlyStopping}


def test_threads() -> None:
    before = torch.get_num_threads()
    set_threads(config_of())
    assert torch.get_num_threads() == before
    try:
        set_threads(config_of(f"training.threads={before + 1}"))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
