from functools import cache
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from onnxscript import GraphBuilder

from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.network import DetectorOutputs
from mnv2_dense.exporting.onnx_detection import (
    add_boxes,
    add_decoding,
)
from mnv2_dense.exporting.onnx_network import OPSET
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.prediction.engine import OUTPUTS, SCORE_THRESHOLD, DetectorArrays
from tests.exporting.decoding import DECODINGS, drawn_outputs, require_same, scores_and_boxes


def new_graph() -> GraphBuilder:
    return GraphBuilder(ir.Graph([], [], nodes=[], name="tail", opset_imports={"": OPSET}))


def session_of(builder: GraphBuilder) -> onnxruntime.InferenceSession:
    model = ir.to_proto(ir.Model(builder.graph, ir_version=8)).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@cache
def tail(name: str) -> onnxruntime.InferenceSession:
    builder = new_graph()
    shapes = (["B", "A", "C"], ["B", "A", 4])
    scores, boxes = (
        builder.input(each, ir.DataType.FLOAT, shape)
        for each, shape in zip(("in_scores", "in_boxes"), shapes, strict=True)
    )
    add_decoding(builder, scores, boxes, DECODINGS[name])
    return session_of(builder)


def decode(name: str, outputs: DetectorOutputs, **threshold: float) -> DetectorArrays:
    scores, boxes = scores_and_boxes(outputs)
    feed = {"in_scores": scores.numpy(), "in_boxes": boxes.numpy()}
    given = {key: np.asarray(value, np.float32) for key, value in threshold.items()}
    found: Any = tail(name).run(list(OUTPUTS["detection"]), feed | given)
    return DetectorArrays(*found)


@pytest.mark.parametrize("name", DECODINGS)
def test_the_tail_is_the_decoder_ties_and_nan_included(name: str) -> None:
    @settings(max_examples=25)
    @given(drawn_outputs())
    def check(outputs: DetectorOutputs) -> None:
        require_same(outputs, DECODINGS[name], decode(name, outputs))

    check()


@settings(max_examples=25)
@given(drawn_outputs())
def test_the_threshold_can_be_raised_but_not_lowered(outputs: DetectorOutputs) -> None:
    raised = decode("per_class", outputs, **{SCORE_THRESHOLD: 0.55})
    require_same(outputs, {**DECODINGS["per_class"], "score_threshold": 0.55}, raised)
    lowered = decode("per_class", outputs, **{SCORE_THRESHOLD: 0.1})
    require_same(outputs, DECODINGS["per_class"], lowered)


def test_many_candidates_are_cut_as_the_decoder_cuts_them() -> None:
    generator = torch.Generator().manual_seed(0)
    anchors = torch.randint(2, 30, (300, 4), generator=generator) / 32
    logits = torch.randint(-3, 3, (2, 300, 8), generator=generator).float()
    outputs = DetectorOutputs(logits, torch.zeros(2, 300, 4), anchors)
    require_same(outputs, DECODINGS["per_class"], decode("per_class", outputs))
    require_same(outputs, DECODINGS["of_all_scores"], decode("of_all_scores", outputs))


def test_boxes_are_decoded_bit_for_bit() -> None:
    builder = new_graph()
    deltas, anchors = (
        builder.input(name, ir.DataType.FLOAT, shape)
        for name, shape in (("deltas", ["B", "A", 4]), ("anchors", ["A", 4]))
    )
    builder.add_output(add_boxes(builder.op, deltas, anchors), "decoded")
    drawn, places = torch.randn(2, 7, 4) * 20, torch.rand(7, 4) + 0.1
    feed = {"deltas": drawn.numpy(), "anchors": places.numpy()}
    boxes: Any = session_of(builder).run(None, feed)[0]
    expected = center_to_corner(decode_boxes(drawn, places)).numpy()
    # exp() is another function here and there.
    np.testing.assert_allclose(boxes, expected, rtol=1e-5, atol=1e-6)
