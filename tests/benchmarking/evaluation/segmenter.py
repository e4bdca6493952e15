"""A checkpoint of a narrow segmenter, and pictures in VOC's layout."""

from pathlib import Path

import torch

from mnv2_dense.builders import build_task
from mnv2_dense.config.loader import parse_config
from mnv2_dense.training.checkpoint_io import CARD, AtomicCheckpointIO
from tests.segmentation.voc_folder import CATEGORIES, NAMES, Folder


def write_segmenter(folder: Path) -> Path:
    """The checkpoint's path; random weights, 513x513."""
    Folder(folder / "voc", keys=[f"2007_{number:06}" for number in range(5)])
    settings = {
        "task": "segmentation",
        "name": "narrow",
        "data": {
            "root": str(folder / "voc"),
            "val_list": "ImageSets/Segmentation/train.txt",
            "classes": list(NAMES),
        },
        "input": {"height": 513, "width": 513},
        "backbone": {"width_mult": 0.1},
        "head": {"channels": 8},
    }
    torch.manual_seed(0)
    task = build_task(parse_config(settings), CATEGORIES)
    path = folder / "narrow.ckpt"
    content = {"state_dict": task.state_dict(), CARD: task.card}
    AtomicCheckpointIO().save_checkpoint(content, path)
    return path
