"""A small video, and what the command makes of it with a network by hand."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.prediction import loading
from mnv2_dense.prediction.engine import Engine
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.video_writer import VideoWriter
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import Outcome, run_tool

SIZE, RATE, FRAMES = ImageSize(48, 64), Fraction(24), 12


def write_clip(path: Path) -> Path:
    """A video that gets brighter."""
    with VideoWriter(path, RATE, SIZE) as writer:
        for number in range(FRAMES):
            writer.add(np.full((*SIZE, 3), (20 * number, 0, 0), np.uint8))
    return path


def predict(
    engine: Engine, out: Path, *sources: object, monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    weights = out.with_name("model.onnx")
    weights.write_bytes(b"by hand")

    def load(*_: object, **__: object) -> Predictor:
        return Predictor(engine, 2)

    monkeypatch.setattr(loading, "load", load)
    return run_tool("predict", *sources, "--weights", weights, "--out", out)


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
