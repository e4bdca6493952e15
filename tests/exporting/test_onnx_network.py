from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.onnx_network import trace_network
from mnv2_dense.prediction.engine import IMAGES
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector
from mnv2_dense.structures import ImageSize
from tests.exporting.networks import tiny
from tests.exporting.small_networks import SIZE, detector, manifest, pictures, segmenter

TASKS = {"detection": detector, "segmentation": segmenter}
FIXED: dict[str, Any] = {"batch": 2, "dynamic_size": False}


def trace(deployed: Deployed, of: Manifest) -> onnx.ModelProto:
    return ir.to_proto(trace_network(deployed, of))


def run(model: onnx.ModelProto, images: NDArray[np.uint8]) -> list[Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {IMAGES: images}))


def expected_maps(deployed: Deployed, images: NDArray[np.uint8]) -> list[torch.Tensor]:
    """By torch; a detector's out of the predictions in the order of the anchors."""
    given = torch.from_numpy(images)
    with torch.no_grad():
        if not isinstance(deployed, DeployedDetector):
            return [deployed(given)]
        logits, deltas, _ = deployed.outputs(given)
        features = deployed.network.backbone(given.permute(0, 3, 1, 2).float())  # pyrefly: ignore
    cells = [each.shape[2:] for each in features.values()]
    counts = [3 * cells[0].numel(), 6 * cells[1].numel()]
    return [
        each.reshape(len(given), *size, -1).movedim(-1, 1)
        for flat in (logits, deltas)
        for each, size in zip(flat.split(counts, dim=1), cells, strict=True)
    ]


def check_maps(model: onnx.ModelProto, deployed: Deployed, images: NDArray[np.uint8]) -> None:
    for ours, theirs in zip(run(model, images), expected_maps(deployed, images), strict=True):
        assert theirs.std() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_one_graph_gives_torchs_maps_in_every_batch_and_size(task: str) -> None:
    model = trace(TASKS[task](), manifest(task))
    for count, size in ((1, SIZE), (2, ImageSize(33, 47)), (3, ImageSize(50, 30))):
        check_maps(model, TASKS[task](), pictures(count, size))


@pytest.mark.parametrize("task", TASKS)
def test_a_fixed_batch_and_size_stand_in_the_graph(task: str) -> None:
    model = trace(TASKS[task](), replace(manifest(task), **FIXED))
    assert dimensions(model.graph.input[0]) == [2, *SIZE, 3]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert dimensions(model.graph.output[0])[0] == 2
    check_maps(model, TASKS[task](), pictures(2))
    with pytest.raises(Exception, match="Got invalid dimensions"):
        run(model, pictures(1))


def test_what_is_not_fixed_has_names_and_no_traced_numbers() -> None:
    graph = trace(detector(), manifest("detection")).graph
    assert dimensions(graph.input[0]) == ["batch", "height", "width", 3]
    channels = [12, 24, 12, 24]
    assert len(graph.output) == len(channels)
    for output, count in zip(graph.output, channels, strict=True):
        batch, found, *cells = dimensions(output)
        assert (batch, found) == ("batch", count)
        assert all(isinstance(each, str) for each in cells)


def dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    return [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]


def test_only_convolutions_of_that_rule_are_padded_as_same() -> None:
    graph = trace(segmenter(), manifest("segmentation")).graph
    pads = {}
    for node in graph.node:
        if node.op_type == "Conv":
            attributes = {each.name: each for each in node.attribute}
            rule = attributes.get("auto_pad")
            pads[node.input[1]] = rule.s if rule else None
            assert rule is None or "pads" not in attributes
    same = {
        f"deployed.{name}.weight"
        for name, layer in segmenter().named_modules()
        if isinstance(layer, SamePadConv2d)
    }
    assert len(same) == 2
    assert {name for name, rule in pads.items() if rule == b"SAME_UPPER"} == same
    assert {rule for name, rule in pads.items() if name not in same} == {None}


def test_the_network_itself_stays_as_it_is() -> None:
    deployed, images = detector(), torch.from_numpy(pictures(1, ImageSize(33, 47)))
    before = deepcopy(deployed.state_dict())
    expected = deployed(images)
    trace_network(deployed, manifest("detection"))
    assert all(torch.equal(before[name], each) for name, each in deployed.state_dict().items())
    for ours, theirs in zip(deployed(images), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_networks_are_traced_in_several_threads_at_once() -> None:
    tasks = [*TASKS, *TASKS]
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(trace, TASKS[task](), manifest(task)) for task in tasks]
        models = [each.result() for each in made]
    for task, model in zip(tasks, models, strict=True):
        check_maps(model, TASKS[task](), pictures(1))


def test_a_network_that_the_exporter_does_not_know_is_one_line() -> None:
    overrides = ("backbone.name=shufflenet_v1", "backbone.padding=same", "backbone.width_mult=0.5")
    with pytest.raises(UserError, match="this network cannot be written as ONNX") as refusal:
        trace_network(*tiny("detection", *overrides))
    assert "\n" not in str(refusal.value)
