"""A joint network beside a detector and a segmenter that are run one after the other."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mnv2_dense.benchmarking.interleaving import Call, measure
from mnv2_dense.benchmarking.ratios import divide
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.drawing import Picture
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.prediction.joint import JointPredictor
from mnv2_dense.prediction.loading import load
from mnv2_dense.prediction.torch_engine import TorchEngine
from mnv2_dense.structures import ImageSize

JOINT, TWO = "joint network", "detector, then segmenter"
DETECTOR, SEGMENTER = "detector", "segmenter"


class Compared(NamedTuple):
    """Checkpoints of a joint network, and of the two that it stands for."""

    joint: Path
    detector: Path
    segmenter: Path


def measure_joint(
    compared: Compared, picture: Picture, threads: int, repetitions: int
) -> Iterator[Section]:
    """Sections of forward passes alone and of whole calls, each in one interleaved run.

    All are run by PyTorch in float32, norms folded, channels last, a picture at a time. A whole
    call takes a decoded picture and gives boxes or a label map, or both, at its size.

    Args:
        compared: The networks.
        picture: That they are shown, uint8 RGB [H, W, 3].
        threads: Of PyTorch.
        repetitions: Of every call.

    Raises:
        UserError: A checkpoint cannot be opened, or is of another task.
    """
    model = JointPredictor(read_checkpoint(compared.joint), compared.joint)
    both = [load(path, "torch", threads=threads) for path in compared[1:]]
    yield _section(_passes(model, [each.engine for each in both]), "forward passes", repetitions)
    calls: list[Call] = [partial(each.predict, picture) for each in both]
    whole = _in_a_row(partial(model.predict, picture), calls)
    yield _section(whole, "whole calls", repetitions)


def _passes(model: JointPredictor, engines: list[Any]) -> dict[str, Call]:
    """The networks on noise of their own input's size."""
    calls: list[Call] = []
    for engine in engines:
        assert isinstance(engine, TorchEngine)
        size = engine.manifest.input_size
        calls.append(_forward(engine.deployed.network, size))
    return _in_a_row(_forward(model.task.network, model.size), calls)


def _forward(network: nn.Module, size: ImageSize) -> Call:
    noise = np.random.default_rng(0).standard_normal((1, *size, 3), dtype=np.float32)
    images = torch.from_numpy(noise).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def run(images: Tensor = images) -> Any:
        return network(images)

    return run


def _in_a_row(joint: Call, separate: list[Call]) -> dict[str, Call]:
    detector, segmenter = separate
    return {
        JOINT: joint,
        TWO: lambda: (detector(), segmenter()),
        DETECTOR: detector,
        SEGMENTER: segmenter,
    }


def _section(calls: dict[str, Call], title: str, repetitions: int) -> Section:
    with tqdm(total=len(calls) * repetitions, leave=False) as bar:
        timings = measure(calls, repetitions, advance=bar.update)
    ratios = [divide(timings, JOINT, other, name=f"{JOINT} / {other}") for other in (TWO, DETECTOR)]
    return Section(f"Joint prediction, {title}", timings, ratios)
