"""Segmentation's part of a comparison: data, networks, and how a peer is trained and measured."""

from pathlib import Path

import lightning.pytorch as pl

from mnv2_dense.builders import build_data, build_task, read_split
from mnv2_dense.commands.session import quiet_lightning
from mnv2_dense.config.schema import Config, SegmentationConfig
from mnv2_dense.ops.count import count_layers, sum_layers
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.segmentation.task import SegmentationTask
from mnv2_dense.structures import ImageSize
from tools.compare.comparison import SHAPES, Side
from tools.compare.initial_weights import InitialWeights
from tools.compare.runs import Outcome, Run
from tools.compare.segmentation_peers import PEERS, SegmentationPeer
from tools.compare.segmentation_recipes import RECIPES, reference_inference
from tools.compare.training import plan_batches, train


def train_peer(run: Run, config: Config, weights: InitialWeights | None) -> Outcome:
    """Trains a peer and measures it with this project's evaluator.

    By the product's recipe it sees pictures as in tools/evaluate.py, by its own as in its script.
    """
    assert isinstance(config, SegmentationConfig)
    quiet_lightning()
    index, val_index = read_split(config, "train"), read_split(config, "val")
    assert isinstance(index, SegmentationIndex)
    task = build_task(config, index.categories)
    assert isinstance(task, SegmentationTask)
    pl.seed_everything(run.seed, verbose=False)
    peer = PEERS[run.network].build(len(index.categories), weights)
    task.network = peer
    task.setup("fit")  # the memory format
    if run.recipe == "reference":
        task.inference = reference_inference(run.size)  # pyrefly: ignore[bad-assignment]
    recipe = RECIPES[run.recipe](task, config, index, run.steps)
    batches = plan_batches(len(index), batch=run.batch, steps=run.steps, seed=run.seed)
    seconds = train(peer, recipe, batches, run.seed)
    peer.drop_auxiliary()
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(task, datamodule=build_data(config, None, val_index), verbose=False)
    return Outcome(dict(task.scores.summary), *_count(peer, run.size), seconds)


def _count(peer: SegmentationPeer, size: int) -> tuple[int, int]:
    counts = sum_layers(count_layers(peer, ImageSize(size, size)))
    return counts.parameters, counts.multiply_adds


def voc(root: Path) -> list[str]:
    """The data section of a set in VOC's layout."""
    return ["data.format=voc", f"data.root={root}", "data.num_classes=21"]


def shapes(root: Path) -> list[str]:
    """The data section of the built-in scenes."""
    places = [
        f"data.{split}_{kind}={folder}{split}2017"
        for split in ("train", "val")
        for kind, folder in (("images", ""), ("masks", "label_maps/"))
    ]
    return ["data.format=folders", f"data.root={root}", *places, "data.num_classes=11"]


SIDE = Side(
    task="segmentation",
    own={
        "light": ["head.aspp=none"],
        "aspp": ["head.aspp=dense"],
        # The map that segmentation_models.pytorch's head reads, of 1280 channels.
        "aspp_last": ["head.aspp=dense", "head.tap=last"],
    },
    peers=PEERS,
    fitting=[name for name, kind in PEERS.items() if kind.mobilenet_v2],
    data={"voc": voc, SHAPES: shapes},
    train_peer=train_peer,
)
