"""The networks of the benchmark, made small, with a picture that they are fitted to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.benchmarking.prediction.folder import draw_picture
from mnv2_dense.benchmarking.prediction.lineup import Lineup
from mnv2_dense.benchmarking.prediction.settings import DETECTOR, SEGMENTER
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.benchmarking.prediction.wanted import Wanted

PICTURE = draw_picture(120, 90)
TINY_SEGMENTER: dict[str, Any] = {
    **SEGMENTER,
    "input": {"height": 129, "width": 129},
    "backbone": {"output_stride": 16, "width_mult": 0.35},
    "head": {"aspp": "none", "channels": 16},
}
TINY_DETECTOR: dict[str, Any] = {
    **DETECTOR,
    "input": {"height": 96, "width": 96},
    "backbone": {"width_mult": 0.35},
    "head": {"width_mult": 0.1},
}


class Peer(nn.Module):
    """In the place of torchvision's segmenter: the colours as logits, the red ones higher."""

    def __init__(self, *_: object) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    @override
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        self.seen.append(images)
        return {"out": images + torch.tensor([0.1, 0.0, 0.0]).view(3, 1, 1)}


def lineup_of(subject: Subject, engines: Sequence[str], tflite: Path | None = None) -> Lineup:
    wanted = Wanted(threads=1, repetitions=1, tflite=tflite)
    return Lineup(subject, subject.open(engines, 1), {}, PICTURE, wanted)
