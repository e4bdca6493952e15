from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from onnxscript import GraphBuilder

from mnv2_dense.exporting.onnx_network import OPSET
from mnv2_dense.exporting.onnx_segmentation import add_label_map
from mnv2_dense.prediction.engine import IMAGES, OUTPUTS, SCORE_THRESHOLD
from mnv2_dense.prediction.openvino_engine import import_openvino
from mnv2_dense.prediction.openvino_graph import adapt
from mnv2_dense.structures import ImageSize
from tests.exporting.small_networks import manifest

CLASSES = 5
openvino = import_openvino(Path("none"))


def new_graph() -> GraphBuilder:
    return GraphBuilder(ir.Graph([], [], nodes=[], name="graph", opset_imports={"": OPSET}))


def read(builder: GraphBuilder) -> Any:
    """The graph as OpenVINO's reader gives it."""
    content = ir.to_proto(ir.Model(builder.graph, ir_version=8)).SerializeToString()
    return openvino.Core().read_model(content)


def compiled(model: Any) -> Any:
    hint = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return openvino.Core().compile_model(model, "CPU", hint)


def segmenter(align_corners: bool, size: ImageSize | None, cells: ImageSize | None) -> Any:
    """The decoding alone: its logits are an input beside the pictures, which are added as 0."""
    builder = new_graph()
    images = builder.input(IMAGES, ir.DataType.UINT8, ["B", *(size or ["H", "W"]), 3])
    logits = builder.input("logits", ir.DataType.FLOAT, ["B", CLASSES, *(cells or ["h", "w"])])
    sizes = None if size is None or cells is None else (size, cells)
    op = builder.op
    nothing = op.Mul(op.ReduceSum(op.Cast(images, to=ir.DataType.FLOAT), keepdims=0), 0.0)
    add_label_map(
        builder, op.Add(logits, nothing), images, align_corners=align_corners, sizes=sizes
    )
    return read(builder)


@cache
def adapted(align_corners: bool, size: ImageSize | None, cells: ImageSize | None) -> Any:
    of = manifest("segmentation")
    of = replace(of, decoding={**of.decoding, "align_corners": align_corners})
    model = segmenter(align_corners, size, cells)
    adapt(openvino, model, of)
    return compiled(model)


def label(network: Any, logits: NDArray[np.float32], size: ImageSize) -> NDArray[np.uint8]:
    pictures = np.zeros((len(logits), *size, 3), np.uint8)
    results = network({IMAGES: pictures, "logits": logits})
    label_map, passed_on = (results[name] for name in OUTPUTS["segmentation"])
    np.testing.assert_array_equal(passed_on, logits)
    assert label_map.dtype == np.uint8
    return label_map


def upsample(logits: NDArray[np.float32], size: ImageSize, align_corners: bool) -> NDArray[Any]:
    """Bilinear, in float64, one side after the other."""
    for axis, pixels in ((2, size.height), (3, size.width)):
        cells = logits.shape[axis]
        place = np.arange(pixels, dtype=np.float64)
        if align_corners:
            place = place * (cells - 1) / max(1, pixels - 1)
        else:
            place = ((place + 0.5) * cells / pixels - 0.5).clip(0, cells - 1)
        lower = np.minimum(place.astype(int), max(0, cells - 2))
        upper, share = np.minimum(lower + 1, cells - 1), place - lower
        share = share.reshape([-1 if each == axis else 1 for each in range(4)])
        logits = logits.take(lower, axis) * (1 - share) + logits.take(upper, axis) * share
    return logits


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("size", "cells"),
    [
        (ImageSize(33, 17), ImageSize(5, 3)),
        (ImageSize(32, 48), ImageSize(4, 6)),
        (ImageSize(9, 20), ImageSize(9, 1)),
        (ImageSize(3, 4), ImageSize(5, 6)),
        (ImageSize(1, 1), ImageSize(1, 1)),
    ],
)
def test_labels_are_the_best_of_the_logits_upsampled(
    size: ImageSize, cells: ImageSize, align_corners: bool, fixed: bool
) -> None:
    logits = np.random.default_rng(0).normal(size=(2, CLASSES, *cells)).astype(np.float32)
    network = adapted(align_corners, size if fixed else None, cells if fixed else None)
    found = label(network, logits, size)
    pixels = upsample(logits, size, align_corners)
    second, first = np.sort(pixels, axis=1)[:, -2:].swapaxes(0, 1)
    clear = first - second > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], pixels.argmax(1)[clear])


def test_the_oracle_is_torchs_interpolation() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 2, 5, 3)).astype(np.float32)
    for align_corners in (True, False):
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(logits), (33, 17), mode="bilinear", align_corners=align_corners
        )
        ours = upsample(logits, ImageSize(33, 17), align_corners)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_of_equal_classes_the_first_one_wins() -> None:
    logits = np.zeros((1, CLASSES, 3, 3), np.float32)
    logits[:, 1:3] = 1
    found = label(adapted(True, None, None), logits, ImageSize(17, 17))
    assert (found == 1).all()


def test_what_is_slow_is_gone_and_the_names_stay() -> None:
    """What ONNX Runtime is fast with resizes maps whose channels are last."""
    model = segmenter(True, None, None)
    assert not any(channels_second(each) for each in resizes(model))
    adapt(openvino, model, manifest("segmentation"))
    assert [channels_second(each) for each in resizes(model)] == [True]
    assert {each.any_name for each in model.outputs} == set(OUTPUTS["segmentation"])


def resizes(model: Any) -> list[Any]:
    found = [each for each in model.get_ops() if each.get_type_name() == "Interpolate"]
    assert found
    return found


def channels_second(operation: Any) -> bool:
    shape = operation.input(0).get_partial_shape()
    return bool(shape[1] == CLASSES)


def detector(default: float) -> Any:
    """Scores from a threshold on, which may be left out."""
    builder = new_graph()
    scores = builder.input("scores", ir.DataType.FLOAT, ["N"])
    initial = ir.tensor(default, ir.DataType.FLOAT, name=SCORE_THRESHOLD)
    raised = builder.input(SCORE_THRESHOLD, ir.DataType.FLOAT, [], const_value=initial)
    passing = builder.op.GreaterOrEqual(scores, builder.op.Max(raised, 0.25))
    builder.add_output(builder.op.Where(passing, scores, -1.0), "passing")
    return read(builder)


def test_the_threshold_is_an_input_again() -> None:
    model = detector(0.0)
    assert [each.any_name for each in model.inputs] == ["scores"]
    adapt(openvino, model, manifest("detection"))
    assert {each.any_name for each in model.inputs} == {"scores", SCORE_THRESHOLD}
    network = compiled(model)
    scores = np.array([0.1, 0.25, 0.5, 0.75], np.float32)
    for threshold, passing in ((0.0, 3), (0.25, 3), (0.5, 2), (0.6, 1), (1.0, 0)):
        given = {"scores": scores, SCORE_THRESHOLD: np.array(threshold, np.float32)}
        expected = np.where(np.arange(4) >= 4 - passing, scores, -1)
        np.testing.assert_array_equal(network(given)["passing"], expected)
