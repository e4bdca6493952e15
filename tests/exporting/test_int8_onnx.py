import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from mnv2_dense.exporting.int8 import quantize
from mnv2_dense.exporting.int8_onnx import levels, write
from mnv2_dense.exporting.levels import Levels
from mnv2_dense.exporting.rounding import round_weights
from mnv2_dense.prediction.onnx_engine import OnnxEngine
from tests.exporting.int8_files import (
    Kernel,
    check_kernels,
    check_nearly_same,
    rounded_kernels,
    uneven_detector,
    write_int8,
)
from tests.exporting.small_networks import manifest, pictures

FIXED = replace(manifest("detection"), precision="int8", dynamic_size=False, batch=3)
CALIBRATION = pictures(7)
"""One more than two batches of three."""


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> onnx.GraphProto:
    """The graph of a network some of whose channels are far from the others."""
    path = tmp_path_factory.mktemp("int8") / "uneven.onnx"
    quantize("onnx", uneven_detector(), FIXED, path, CALIBRATION)
    return onnx.load(path).graph


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer}


def producers_of(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in graph.node for output in node.output}


def convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [each for each in graph.node if each.op_type == "Conv"]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_file_of_8_bits_computes_nearly_the_same(tmp_path: Path, task: str) -> None:
    said = write_int8("onnx", task, tmp_path / "a.onnx")
    engine = OnnxEngine(tmp_path / "a.onnx", threads=1)
    assert engine.manifest == said
    check_nearly_same(engine, task)


def test_every_channel_has_a_scale_of_its_own_however_large_another_is(
    uneven: onnx.GraphProto,
) -> None:
    constants, before = constants_of(uneven), producers_of(uneven)
    weights = [before[each.input[1]] for each in convolutions(uneven)]
    found = [Kernel(constants[each.input[0]], constants[each.input[1]]) for each in weights]
    check_kernels(found, rounded_kernels(uneven_detector(), levels))
    zero_points = {int(point) for each in weights for point in constants[each.input[2]]}
    assert zero_points == {0}


def test_only_full_convolutions_keep_to_half_the_range() -> None:
    assert (levels(1), levels(8)) == (63, 127)


def test_the_network_is_of_8_bits_and_the_decoding_is_not(uneven: onnx.GraphProto) -> None:
    before = producers_of(uneven)
    for node in convolutions(uneven):
        assert {before[name].op_type for name in node.input} == {"DequantizeLinear"}
    decoding = next(node for node in uneven.node if node.op_type == "Softmax")
    assert before[decoding.input[0]].op_type == "Concat"
    quantised = [before[each.input[0]] for each in uneven.node if each.op_type == "QuantizeLinear"]
    assert {each.op_type for each in quantised} == {"Div", "Conv"}


def test_every_map_of_classes_and_of_boxes_has_the_range_that_was_seen(
    uneven: onnx.GraphProto,
) -> None:
    """In whole batches: the seventh picture is not looked at."""
    constants, before = constants_of(uneven), producers_of(uneven)
    after = {node.input[0]: node for node in uneven.node if node.op_type == "QuantizeLinear"}
    names = [f"{kind}_branches.{level}.1" for kind in ("class", "box") for level in (0, 1)]
    for name, seen in zip(names, seen_maps(), strict=True):
        (node,) = (
            each
            for each in convolutions(uneven)
            if f"{name}.weight_quantized" in before[each.input[1]].input[0]
        )
        _, scale, zero_point = after[node.output[0]].input
        low, high = min(0.0, float(seen.min())), max(0.0, float(seen.max()))
        step = (high - low) / 255
        np.testing.assert_allclose(constants[scale], step, rtol=1e-3)
        assert abs(int(constants[zero_point]) + low / step) < 0.6


def seen_maps() -> list[torch.Tensor]:
    """By torch, out of the rounded weights."""
    deployed = round_weights(uneven_detector(), CALIBRATION, levels)
    images = torch.from_numpy(CALIBRATION[:6]).permute(0, 3, 1, 2)
    with torch.no_grad():
        return Levels(deployed.network)((images - deployed.mean) / deployed.std)


def test_a_fixed_batch_is_kept(uneven: onnx.GraphProto) -> None:
    shape = uneven.input[0].type.tensor_type.shape
    assert [each.dim_value for each in shape.dim] == [3, 32, 48, 3]


def test_nothing_is_said_and_logging_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_int8("onnx", "segmentation", tmp_path / "a.onnx")
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
    assert [each.name for each in tmp_path.iterdir()] == ["a.onnx"]


def test_logging_goes_on_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="No data is collected"):
        write(uneven_detector(), FIXED, tmp_path / "a.onnx", CALIBRATION[:2])
    assert logging.root.manager.disable == logging.NOTSET
