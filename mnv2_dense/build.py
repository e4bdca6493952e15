"""The composition root: config to objects. The only place where config meets code."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from mnv2_dense import __version__
from mnv2_dense.backbone.mobilenet_v2 import SSD_TAPS, MobileNetV2, MobileNetV2Classifier
from mnv2_dense.backbone.weights import load_backbone
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.coco import CocoIndex, read_coco
from mnv2_dense.detection.data import DetectionDataset, collate
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.head import SSDLiteHead
from mnv2_dense.detection.loss import SSDLoss
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.detection.network import SSDLite
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.detection.transforms import EvalTransform, TrainTransform
from mnv2_dense.structures import Category, ImageSize
from mnv2_dense.training.averaging import ema_callback
from mnv2_dense.training.best import BestCheckpoint
from mnv2_dense.training.checkpoint_io import AtomicCheckpointIO
from mnv2_dense.training.datamodule import DataModule
from mnv2_dense.training.interrupt import InterruptCheckpoint
from mnv2_dense.training.norms import FreezeNorms, SameNormsEverywhere
from mnv2_dense.training.optimizer import build_optimizer
from mnv2_dense.training.progress import RunProgress
from mnv2_dense.training.runs import checkpoint_folder
from mnv2_dense.training.schedule import learning_rate_factor
from mnv2_dense.training.throughput import ImagesPerSecond
from mnv2_dense.training.validation import ValidateEvery

FOCAL_PRIOR_LOGIT = -4.6
"""First class bias under focal loss: a score of 0.01 (arXiv 1708.02002, section 4.1)."""


def build_network(config: DetectionConfig, num_classes: int) -> SSDLite:
    """The detector with random weights; `num_classes` does not count the background."""
    norm = {
        "norm_epsilon": config.backbone.norm_epsilon,
        "norm_momentum": config.backbone.norm_momentum,
    }
    anchors = AnchorGenerator(
        num_levels=len(SSD_TAPS) + len(config.head.extra_channels),
        min_scale=config.anchors.min_scale,
        max_scale=config.anchors.max_scale,
        aspect_ratios=config.anchors.aspect_ratios,
        reduce_lowest_level=config.anchors.reduce_lowest_level,
    )
    backbone = MobileNetV2(
        SSD_TAPS,
        width_mult=config.backbone.width_mult,
        output_stride=config.backbone.output_stride,
        padding=config.backbone.padding,
        **norm,
    )
    head = SSDLiteHead(
        backbone.specs,
        anchors.counts,
        num_classes + 1,
        extra_channels=config.head.extra_channels,
        width_mult=config.head.width_mult,
        padding=config.backbone.padding,
        class_bias=FOCAL_PRIOR_LOGIT if config.loss.classification == "focal" else 0.0,
        **norm,
    )
    return SSDLite(backbone, head, anchors)


def build_classifier(config: DetectionConfig) -> MobileNetV2Classifier:
    """The config's backbone under the ImageNet classifier, with random weights."""
    backbone = config.backbone
    return MobileNetV2Classifier(
        width_mult=backbone.width_mult,
        padding=backbone.padding,
        norm_epsilon=backbone.norm_epsilon,
        norm_momentum=backbone.norm_momentum,
    )


def build_decoder(config: DetectionConfig) -> Decoder:
    """Raw outputs to detections, as the config's loss and `decode` section say."""
    softmax = config.loss.classification == "softmax"
    return Decoder(activation="softmax" if softmax else "sigmoid", **config.decode.model_dump())


def build_loss(config: DetectionConfig) -> SSDLoss:
    """The training loss."""
    return SSDLoss(**config.loss.model_dump(), **config.matching.model_dump())


def build_task(
    config: DetectionConfig,
    categories: Sequence[Category],
    *,
    pretrained: bool = False,
    compiled: bool = False,
) -> DetectionTask:
    """The Lightning module, by itself with random weights and not compiled.

    Args:
        config: What to build.
        categories: The classes in label order.
        pretrained: Load `backbone.weights`.
        compiled: Obey `training.compile`.
    """
    network = build_network(config, len(categories))
    if pretrained and config.backbone.weights is not None:
        load_backbone(network.backbone, config.backbone.weights)
    if compiled and config.training.compile:
        network.compile()
    metric = CocoDetectionMetric(annotation_path(config, "val"), tuple(categories))
    return DetectionTask(
        network,
        loss=build_loss(config),
        decoder=build_decoder(config),
        metric=metric,
        mean=config.input.mean,
        std=config.input.std,
        make_optimizer=partial(build_optimizer, **config.optimizer.model_dump()),
        learning_rate_factor=_factor(config),
        card=checkpoint_card(config, categories),
        channels_last=config.training.channels_last,
    )


def _factor(config: DetectionConfig) -> Callable[[int, int], float]:
    options = config.schedule.model_dump()

    def factor(step: int, total_steps: int) -> float:
        return learning_rate_factor(step, total_steps=total_steps, **options)

    return factor


def checkpoint_card(config: DetectionConfig, categories: Sequence[Category]) -> dict[str, Any]:
    """What a checkpoint says of itself, in plain values."""
    return {
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "categories": [list(category) for category in categories],
    }


def annotation_path(config: DetectionConfig, split: str) -> Path:
    """The annotation file of `train` or `val`."""
    return Path(config.data.root) / getattr(config.data, f"{split}_annotations")


def read_split(config: DetectionConfig, split: str) -> CocoIndex:
    """The images and boxes of `train` or `val`."""
    images = Path(config.data.root) / getattr(config.data, f"{split}_images")
    return read_coco(annotation_path(config, split), images)


def read_categories(config: DetectionConfig) -> tuple[Category, ...]:
    """The classes of the training annotations, in label order."""
    return read_split(config, "train").categories


def input_size(config: DetectionConfig) -> ImageSize:
    """Size of the network's input."""
    return ImageSize(config.input.height, config.input.width)


def build_data(config: DetectionConfig, train: CocoIndex | None, val: CocoIndex) -> DataModule:
    """Loaders over both splits; without `train`, for evaluation only."""
    size = input_size(config)
    augment = TrainTransform(size, mean=config.input.mean, **config.augmentation.model_dump())
    seed = config.training.seed
    return DataModule(
        train_dataset=None if train is None else DetectionDataset(train, augment, seed),
        val_dataset=DetectionDataset(val, EvalTransform(size), seed),
        collate=collate,
        batch_size=config.data.batch_size,
        val_batch_size=config.data.val_batch_size,
        num_workers=config.data.num_workers,
        seed=seed,
    )


MONITOR = "val/mAP"
"""The score that chooses the best checkpoint and stops early."""

_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def build_trainer(config: DetectionConfig, run: Path) -> pl.Trainer:
    """Lightning's trainer for a run, with its logs and checkpoints in the folder `run`."""
    training = config.training
    return pl.Trainer(
        **trainer_options(config),
        default_root_dir=run,
        plugins=[AtomicCheckpointIO()],
        max_epochs=training.epochs,
        max_steps=-1 if training.max_steps is None else training.max_steps,
        accumulate_grad_batches=training.accumulate_batches,
        gradient_clip_val=training.gradient_clip_norm,
        sync_batchnorm=training.sync_batchnorm and count_processes(config) > 1,
        log_every_n_steps=training.log_every,
        num_sanity_val_steps=0,
        # ValidateEvery changes it, but not before the first whole epoch of a resumed run.
        check_val_every_n_epoch=training.validate_every,
        logger=[
            CSVLogger(run, name="", version=""),
            TensorBoardLogger(run, name="", version="tensorboard"),
        ],
        callbacks=build_callbacks(config, run),
    )


def trainer_options(config: DetectionConfig) -> dict[str, Any]:
    """What training and evaluation share: hardware, precision, determinism."""
    training = config.training
    return {
        "accelerator": training.accelerator,
        "devices": training.devices,
        "strategy": _strategy(config),
        "num_nodes": training.num_nodes,
        "precision": _PRECISION[training.precision],
        "deterministic": training.deterministic,
        "use_distributed_sampler": False,
        "enable_model_summary": False,
    }


def count_processes(config: DetectionConfig) -> int:
    """Processes of the whole run."""
    training = config.training
    if training.devices != "auto":
        return training.devices * training.num_nodes
    gpus = torch.cuda.device_count() if training.accelerator in ("auto", "gpu") else 1
    return max(gpus, 1) * training.num_nodes


def _strategy(config: DetectionConfig) -> str | DDPStrategy:
    # DDP would send rank 0's buffers at every forward pass, also in validation, where the
    # processes may have different numbers of batches; SameNormsEverywhere does it once.
    return DDPStrategy(broadcast_buffers=False) if count_processes(config) > 1 else "auto"


def build_callbacks(config: DetectionConfig, run: Path) -> list[Callback]:
    """What watches a run; the order matters where the classes say so."""
    training = config.training
    folder = checkpoint_folder(run)
    callbacks: list[Callback] = [
        RunProgress(),
        ImagesPerSecond(training.log_every),
        LearningRateMonitor("step"),
    ]
    if training.ema_decay is not None:
        callbacks.append(ema_callback(training.ema_decay))
    if training.freeze_norm_epochs:
        callbacks.append(FreezeNorms(training.freeze_norm_epochs))
    # After the average: it evens out the buffers that the average has swapped in.
    callbacks += [SameNormsEverywhere(), ValidateEvery(training.validate_every)]
    if training.early_stopping_patience is not None:
        callbacks.append(
            EarlyStopping(
                MONITOR,
                mode="max",
                patience=training.early_stopping_patience,
                # Patience counts evaluations, and between them there is no score to look at.
                check_on_train_epoch_end=False,
            )
        )
    best = BestCheckpoint(folder, MONITOR)
    last = ModelCheckpoint(
        folder, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    return [*callbacks, best, last, InterruptCheckpoint(folder)]


def set_threads(config: DetectionConfig) -> None:
    """Limits the CPU threads of this process as the config says."""
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
