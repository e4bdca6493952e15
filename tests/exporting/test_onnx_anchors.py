from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnxscript import GraphBuilder

from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.exporting.onnx_anchors import add_anchors
from mnv2_dense.exporting.onnx_network import OPSET
from mnv2_dense.structures import ImageSize

GENERATORS = {
    "release": AnchorGenerator(3),
    "one level": AnchorGenerator(1, scales=[0.3]),
    "own scales": AnchorGenerator(
        3, scales=[0.11, 0.37, 0.9], aspect_ratios=[1.0, 0.7, 3.1], reduce_lowest_level=False
    ),
}


@cache
def session_of(name: str) -> onnxruntime.InferenceSession:
    """Anchors of pictures and maps of any size."""
    builder = GraphBuilder(ir.Graph([], [], nodes=[], name="anchors", opset_imports={"": OPSET}))
    images = builder.input("images", ir.DataType.UINT8, ["B", "H", "W", 3])
    levels = [
        builder.input(f"level_{level}", ir.DataType.FLOAT, ["B", 7, f"h{level}", f"w{level}"])
        for level in range(len(GENERATORS[name].shapes))
    ]
    builder.add_output(add_anchors(builder.op, GENERATORS[name], levels, images), "anchors")
    model = ir.to_proto(ir.Model(builder.graph, ir_version=8)).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def compute(
    name: str, size: Sequence[int], cells: Sequence[Sequence[int]], batch: int = 1
) -> NDArray[Any]:
    feed: dict[str, NDArray[Any]] = {
        f"level_{level}": np.zeros((batch, 7, *each), np.float32)
        for level, each in enumerate(cells)
    }
    (anchors,) = session_of(name).run(
        None, {"images": np.zeros((batch, *size, 3), np.uint8), **feed}
    )
    assert isinstance(anchors, np.ndarray)
    return anchors


@pytest.mark.parametrize("name", ["release", "own scales"])
@pytest.mark.parametrize(
    ("size", "cells"),
    [
        ((320, 320), ((20, 20), (10, 10), (5, 5))),
        ((33, 17), ((5, 3), (3, 2), (1, 1))),
        ((97, 211), ((7, 14), (4, 7), (2, 4))),
        ((1, 1), ((1, 1), (1, 1), (1, 1))),
        ((300, 1), ((19, 1), (10, 1), (5, 1))),
    ],
)
def test_anchors_are_those_of_the_generator_bit_for_bit(
    name: str, size: tuple[int, int], cells: tuple[tuple[int, int], ...]
) -> None:
    sizes = [ImageSize(*each) for each in cells]
    expected = GENERATORS[name](sizes, ImageSize(*size), torch.device("cpu"))
    anchors = compute(name, size, cells)
    assert anchors.dtype == np.float32
    np.testing.assert_array_equal(anchors, expected.numpy())


def test_anchors_keep_their_shape_in_pixels_on_the_shorter_side() -> None:
    """By hand: scale 0.3 of 20 pixels; 0.1 of the small square; two columns of one row."""
    anchors = compute("one level", (20, 40), [(1, 2)])
    assert anchors.shape == (6, 4)
    wide, tall = 6 * np.sqrt(2), 6 / np.sqrt(2)
    pixels = [(2, 2), (wide, tall), (tall, wide)]
    expected = [(x, 0.5, w / 40, h / 20) for x in (0.25, 0.75) for w, h in pixels]
    np.testing.assert_allclose(anchors, expected, rtol=1e-6)


def test_a_batch_has_the_anchors_of_one_picture() -> None:
    one, three = (compute("one level", (33, 17), [(5, 3)], batch) for batch in (1, 3))
    np.testing.assert_array_equal(one, three)
