"""Detection's part of a comparison: data, networks, and how a peer is trained and measured."""

from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from torchvision.models.detection.ssd import SSD

from mnv2_dense.builders import read_split
from mnv2_dense.builders.detection_data import read_truth
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.metrics import CocoDetectionMetric
from mnv2_dense.ops.count import count_layers, sum_layers
from mnv2_dense.structures import ImageSize
from tools.compare.comparison import SHAPES, Side
from tools.compare.detection_peers import MOBILENET_V2, PEERS, RawNetwork, detect
from tools.compare.detection_recipes import RECIPES
from tools.compare.initial_weights import InitialWeights
from tools.compare.runs import Outcome, Run
from tools.compare.training import plan_batches, train


def train_peer(run: Run, config: Config, weights: InitialWeights | None) -> Outcome:
    """Trains a peer and measures its detections as those of this project's networks."""
    assert isinstance(config, DetectionConfig)
    index, val_index = read_split(config, "train"), read_split(config, "val")
    assert isinstance(index, DetectionIndex)
    assert isinstance(val_index, DetectionIndex)
    pl.seed_everything(run.seed, verbose=False)
    network = PEERS[run.network](len(index.categories), run.size, weights)
    recipe = RECIPES[run.recipe](network, config, index, run.steps)
    batches = plan_batches(len(index), batch=run.batch, steps=run.steps, seed=run.seed)
    seconds = train(network, recipe, batches, run.seed)
    counts = sum_layers(count_layers(RawNetwork(network), ImageSize(run.size, run.size)))
    scores = measure(network, config, val_index)
    return Outcome(scores, counts.parameters, counts.multiply_adds, seconds)


def measure(network: SSD, config: DetectionConfig, index: DetectionIndex) -> dict[str, float]:
    """COCO's numbers of a detector on every picture of an index, at the pictures' own sizes."""
    metric = CocoDetectionMetric(partial(read_truth, config.data), index.categories)
    network.eval()
    for position in range(len(index)):
        image = torch.from_numpy(index.image(position)).permute(2, 0, 1)
        metric.update([index.image_id(position)], [detect(network, image)])
    return metric.compute().summary


def coco(root: Path) -> list[str]:
    """The data section of a set in COCO's layout, which the built-in scenes have, too."""
    return [f"data.root={root}"]


SIDE = Side(
    task="detection",
    own={"ssdlite": [], "ssd": ["head.name=ssd"]},
    peers=PEERS,
    fitting=MOBILENET_V2,
    data={"coco": coco, SHAPES: coco},
    train_peer=train_peer,
)
