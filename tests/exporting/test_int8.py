from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import mnv2_dense
from mnv2_dense.exporting import onnx_file
from mnv2_dense.exporting.formats import FORMATS
from mnv2_dense.exporting.int8 import quantize
from mnv2_dense.exporting.verify import verify
from mnv2_dense.prediction.engine import SegmenterArrays
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.onnx_engine import OnnxEngine
from tests.exporting.small_networks import DECODING, detector, manifest, pictures, segmenter

QUANTISED = ("onnx", "openvino", "litert")
TASKS = {"detection": detector, "segmentation": segmenter}

Written = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A file of 8 bits by format and task, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("int8")

    @cache
    def write(name: str, task: str) -> Path:
        path = folder / f"{task}{FORMATS[name].suffix}"
        of = replace(described(task), precision="int8", dynamic_size=False)
        quantize(name, TASKS[task](), of, path, pictures(16))
        return path

    return write


def described(task: str) -> Manifest:
    return manifest(task, DECODING)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", QUANTISED)
def test_a_file_of_8_bits_computes_nearly_the_same(
    written: Written, tmp_path: Path, name: str, task: str
) -> None:
    onnx_file.write(TASKS[task](), described(task), tmp_path / "float.onnx")
    reference = OnnxEngine(tmp_path / "float.onnx", threads=1)
    engine = mnv2_dense.load(written(name, task), name, threads=1).engine
    assert engine.manifest.precision == "int8"
    verification = verify(engine, reference, pictures(4))
    assert verification.counted > 0
    assert verification.same, verification
    assert all(difference > 0 for difference in verification.differences.values())


@pytest.mark.parametrize("name", QUANTISED)
def test_logits_are_nearly_the_same(written: Written, name: str) -> None:
    engine = mnv2_dense.load(written(name, "segmentation"), name, threads=1).engine
    image = pictures(1)
    arrays = engine.run(image)
    assert isinstance(arrays, SegmenterArrays)
    expected = segmenter()(torch.from_numpy(image)).numpy()
    error = np.sqrt(np.square(arrays.class_logits - expected).mean())
    assert error < 0.05 * expected.std()


def test_the_network_is_of_8_bits_and_the_decoding_is_not(written: Written) -> None:
    graph = onnx.load(written("onnx", "detection")).graph
    before = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    layers = [each for each in detector().modules() if isinstance(each, nn.Conv2d)]
    assert len(convolutions) == len(layers)
    for node in convolutions:
        assert {before[name].op_type for name in node.input} == {"DequantizeLinear"}
    decoding = next(node for node in graph.node if node.op_type == "Softmax")
    assert before[decoding.input[0]].op_type == "Concat"


def test_weights_keep_to_half_the_range_where_products_are_added_in_16_bits(
    written: Written,
) -> None:
    graph = onnx.load(written("onnx", "detection")).graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kernels = [array for array in tensors.values() if array.dtype == np.int8 and array.ndim == 4]
    assert {int(np.abs(kernel).max()) for kernel in kernels if kernel.shape[1] > 1} == {63}
    assert {int(np.abs(kernel).max()) for kernel in kernels if kernel.shape[1] == 1} == {127}
