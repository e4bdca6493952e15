from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnxscript import GraphBuilder

from mnv2_dense.exporting.onnx_network import OPSET
from mnv2_dense.exporting.onnx_segmentation import add_label_map
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.engine import OUTPUTS
from mnv2_dense.structures import ImageSize

CLASSES = 4


def decode(logits: torch.Tensor, size: ImageSize, align_corners: bool, fixed: bool) -> np.ndarray:
    builder = GraphBuilder(ir.Graph([], [], nodes=[], name="tail", opset_imports={"": OPSET}))
    cells = ImageSize(*logits.shape[2:])
    images = builder.input("images", ir.DataType.UINT8, ["B", *size, 3])
    given = builder.input("logits", ir.DataType.FLOAT, ["B", CLASSES, *cells])
    sizes = (size, cells) if fixed else None
    add_label_map(
        builder, builder.op.Identity(given), images, align_corners=align_corners, sizes=sizes
    )
    model = ir.to_proto(ir.Model(builder.graph, ir_version=8)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    shown = np.zeros((len(logits), *size, 3), np.uint8)
    answers: Any = session.run(
        list(OUTPUTS["segmentation"]), {"images": shown, "logits": logits.numpy()}
    )
    found, passed_on = answers
    np.testing.assert_array_equal(passed_on, logits)
    return found


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("size", "cells"),
    [
        ((33, 17), (5, 3)),
        ((32, 48), (4, 6)),
        ((30, 41), (7, 4)),
        ((9, 20), (9, 1)),
        ((3, 4), (5, 6)),
    ],
)
def test_the_label_map_is_the_best_of_all_logits_interpolated(
    size: tuple[int, int], cells: tuple[int, int], align_corners: bool, fixed: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    # Cells of one class side by side, and others; one picture of a single class.
    logits = torch.randn(3, CLASSES, *cells, generator=generator)
    logits[1, 2] += torch.linspace(-3, 3, cells[1])
    logits[2, 1] += 100
    found = decode(logits, ImageSize(*size), align_corners, fixed)
    pixels = resize_map(logits, ImageSize(*size), align_corners)
    best = pixels.max(dim=1)
    ours = torch.from_numpy(found).long()
    assert (found[2] == 1).all()
    assert torch.allclose(pixels.gather(1, ours[:, None])[:, 0], best.values, atol=1e-5)
    assert (ours == best.indices).float().mean() > 0.99


def test_of_equal_classes_the_first_one_wins() -> None:
    logits = torch.zeros(1, CLASSES, 3, 3)
    logits[0, 1:3] = 1.0
    found = decode(logits, ImageSize(17, 17), align_corners=True, fixed=True)
    assert (found == 1).all()
