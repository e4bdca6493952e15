from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from mnv2_dense.exporting import int8_onnx
from mnv2_dense.exporting.formats import FORMATS
from mnv2_dense.exporting.int8 import quantize
from mnv2_dense.exporting.rounding import round_weights
from tests.exporting.small_networks import manifest, pictures, segmenter

OF = replace(manifest("segmentation"), precision="int8", dynamic_size=False)


def test_a_network_is_rounded_and_then_written_by_the_module_of_its_format(tmp_path: Path) -> None:
    deployed, images = segmenter(), pictures(4)
    quantize("onnx", deployed, OF, tmp_path / "a.onnx", images)
    rounded = round_weights(deployed, images, int8_onnx.levels)
    int8_onnx.write(rounded, OF, tmp_path / "b.onnx", images)
    first, second = (tmp_path / name for name in ("a.onnx", "b.onnx"))
    assert first.read_bytes() == second.read_bytes()


def test_the_network_itself_is_not_changed(tmp_path: Path) -> None:
    deployed = segmenter()
    before = deepcopy(deployed.state_dict())
    quantize("onnx", deployed, OF, tmp_path / "a.onnx", pictures(2))
    after = deployed.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_every_format_with_8_bits_has_a_module_of_its_own() -> None:
    with_8_bits = {name for name, kind in FORMATS.items() if kind.quantizer is not None}
    found = {name for name in FORMATS if find_spec(f"mnv2_dense.exporting.int8_{name}")}
    assert with_8_bits == found == {"onnx", "openvino", "litert"}
