"""What is refused before the work begins, in one line."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch

from mnv2_dense.builders import Index, build_network, coarsest_stride, joint
from mnv2_dense.builders.any_task import AnyIndex, splits_of
from mnv2_dense.builders.opening import check_same_categories
from mnv2_dense.builders.parts import input_size
from mnv2_dense.builders.segmentation import build_other_stride
from mnv2_dense.builders.trainer import count_processes, lacks_bf16
from mnv2_dense.commands.launcher import check_launcher
from mnv2_dense.commands.outputs import check_output as check_output
from mnv2_dense.commands.session import say
from mnv2_dense.config.schema import AnyConfig, Config, JointConfig, SegmentationConfig, columns_of
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.survey import check_classes_present, count_pixels

DATA_FOLDERS = ("images", "annotations", "masks")
"""Keys of folders in a data section, behind the split's name."""


def check_outside(out: Path, config: Config, others: Iterable[Path] = ()) -> None:
    """Refuses a folder that lies in the data.

    Args:
        out: The folder.
        config: Whose root, and folders that its data section names, are the data's.
        others: More folders of the data: a data.yaml may name any.

    Raises:
        UserError: It does, or is the data's own.
    """
    data, root = config.data, Path(config.data.root)
    root = root.parent if root.is_file() else root  # YOLO's may be its data.yaml.
    keys = (f"{split}_{key}" for split in ("train", "val") for key in DATA_FOLDERS)
    named = (root / name for key in keys if (name := getattr(data, key, None)))
    for folder in (root, *filter(Path.is_dir, named), *others):
        if out.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"--out {out}: lies in the data ({folder}), which are never written to; give "
                "another folder"
            )


def check_network(config: AnyConfig) -> None:
    """Refuses a backbone, tap, width or output stride that does not exist, before data are read.

    Raises:
        UserError: The network cannot be built.
    """
    if isinstance(config, JointConfig):
        joint.check_network(config)
        return
    with torch.device("meta"):
        build_network(config, num_classes=2)
    if isinstance(config, SegmentationConfig):
        build_other_stride(config, num_classes=2)


def check_all_shares(config: AnyConfig, index: AnyIndex) -> None:
    """Refuses a validation set of which some process would get nothing; see `check_shares`."""
    for column, each in zip(columns_of(config), splits_of(index), strict=True):
        check_shares(column, len(each))


def check_sets(config: AnyConfig, train: AnyIndex, val: AnyIndex) -> None:
    """Refuses data that cannot be trained on and measured, set by set.

    Raises:
        UserError: The splits have other classes; a mask cannot be used; or a batch, or a
            validation set, is too small.
    """
    sets = zip(columns_of(config), splits_of(train), splits_of(val), strict=True)
    for column, train_set, val_set in sets:
        check_same_categories(train_set.categories, val_set.categories, "train and val")
        check_masks(train_set, val_set, column)
        check_batch(column, len(train_set))
    check_all_shares(config, val)


def check_masks(train: Index, val: Index, config: Config) -> None:
    """Reads every mask of a segmenter's data once, and says which classes none of them has.

    Raises:
        UserError: A mask cannot be used (all of a set, where `data.on_bad_image` skips them), or
            there is nothing to learn.
    """
    if isinstance(train, SegmentationIndex) and isinstance(val, SegmentationIndex):
        say(f"reading {len(train) + len(val)} masks")
        names = [category.name for category in train.categories]
        skip = config.data.on_bad_image == "skip"
        counted = count_pixels(train, skip_bad=skip)
        bad = counted.bad_masks + count_pixels(val, skip_bad=skip).bad_masks
        if bad:
            say(f"{bad} masks cannot be used and are skipped; they are named when they are met")
        if message := check_classes_present(names, counted.pixels):
            say(message)


def check_batch(config: Config, images: int) -> None:
    """Refuses a batch on whose smallest map a batch norm would see one value per channel.

    Raises:
        UserError: One image per step and process, where the last level has a single cell.
    """
    training, processes = config.training, count_processes(config)
    frozen = training.freeze_norm_epochs >= training.epochs
    if frozen or (training.sync_batchnorm and processes > 1):
        return
    batch = min(config.data.batch_size, math.ceil(images / processes))
    if batch == 1 and max(input_size(config)) <= coarsest_stride(config):
        raise UserError(
            f"one image per step (data.batch_size={config.data.batch_size}, {images} training "
            f"images, {processes} processes) is too few: at this input size the last level has one "
            "cell, and batch norm needs two values; give two images or more"
        )


def check_shares(config: Config, images: int) -> None:
    """Refuses a validation set of which some process would get nothing.

    Raises:
        UserError: Fewer validation images than processes.
    """
    if images < count_processes(config):
        raise UserError(
            f"{images} validation images cannot be shared by {count_processes(config)} processes; "
            "set training.devices lower"
        )


def check_machine(config: AnyConfig) -> None:
    """Refuses hardware and processes that are not there, before Lightning does.

    Raises:
        UserError: No GPU, fewer than `training.devices`, or none where one is needed; other
            processes than torchrun or SLURM have started.
    """
    training, gpus = config.training, torch.cuda.device_count()
    mps = torch.backends.mps.is_available()
    if (training.accelerator == "gpu" and not (gpus or mps)) or (
        training.accelerator == "mps" and not mps
    ):
        raise UserError(
            f"training.accelerator={training.accelerator}, but PyTorch finds none on this "
            "machine; set training.accelerator=auto"
        )
    on_gpu = gpus > 0 and training.accelerator in ("auto", "gpu")
    if on_gpu and training.devices != "auto" and training.devices > gpus:
        raise UserError(
            f"training.devices={training.devices}, but this machine has {gpus} GPUs; set "
            "training.devices=auto"
        )
    if training.precision == "16" and not (on_gpu or mps):
        raise UserError("training.precision=16 needs a GPU; set it to 32 on a CPU")
    if lacks_bf16(config):
        say("training.precision=bf16: this processor has no units for it; computing in float32")
    check_launcher(config)
