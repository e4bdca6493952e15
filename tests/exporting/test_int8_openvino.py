import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv2_dense.exporting.int8 import quantize
from mnv2_dense.exporting.int8_openvino import CONVOLUTIONS, levels
from mnv2_dense.prediction.openvino_engine import OpenVinoEngine, import_openvino
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


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The graph of a network some of whose channels are far from the others."""
    path = tmp_path_factory.mktemp("int8") / "uneven.xml"
    quantize("openvino", uneven_detector(), FIXED, path, pictures(7))
    return import_openvino(path).Core().read_model(path)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_file_of_8_bits_computes_nearly_the_same(tmp_path: Path, task: str) -> None:
    said = write_int8("openvino", task, tmp_path / "a.xml")
    engine = OpenVinoEngine(tmp_path / "a.xml", threads=1)
    assert engine.manifest == said
    check_nearly_same(engine, task)


def test_every_channel_has_a_scale_of_its_own_however_large_another_is(uneven: Any) -> None:
    check_kernels(
        [kernel_of(each) for each in convolutions(uneven)],
        rounded_kernels(uneven_detector(), levels),
    )


def convolutions(model: Any) -> list[Any]:
    return [each for each in model.get_ops() if each.get_type_name() in CONVOLUTIONS]


def kernel_of(convolution: Any) -> Kernel:
    """What stands in the file: whole numbers, converted and multiplied."""
    product = convolution.input_value(1).get_node()
    assert product.get_type_name() == "Multiply"
    steps = product.input_value(0).get_node().input_value(0).get_node().data
    scales = product.input_value(1).get_node().data
    assert steps.dtype == np.int8
    # Depthwise ones are [groups, out, in, h, w].
    return Kernel(steps.reshape(-1, *steps.shape[-3:]), scales.flatten())


def test_only_full_convolutions_keep_to_half_the_range() -> None:
    assert (levels(1), levels(8)) == (63, 127)


def test_what_every_convolution_reads_is_of_8_bits_and_what_is_decoded_is_not(uneven: Any) -> None:
    for each in convolutions(uneven):
        assert each.input_value(0).get_node().get_type_name() == "FakeQuantize"
    quantisers = [each for each in uneven.get_ops() if each.get_type_name() == "FakeQuantize"]
    assert len(quantisers) > 3
    for each in quantisers:
        readers = [reader.get_node() for reader in each.output(0).get_target_inputs()]
        assert {reader.get_type_name() for reader in readers} <= set(CONVOLUTIONS)


def test_a_fixed_batch_is_kept(uneven: Any) -> None:
    assert list(uneven.input("images").shape) == [3, 32, 48, 3]


def test_nothing_is_said_and_logging_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_int8("openvino", "segmentation", tmp_path / "a.xml")
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "a.xml"]
