import json
import math
import random
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import DEEPLAB_TAP, MobileNetV2
from mnv2_dense.detection.anchors import AnchorGenerator
from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.head import SSDHead
from mnv2_dense.detection.network import Detector
from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import GraphInput
from mnv2_dense.importing.graphdef import graph_from_message, read_graphdef
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.segmentation.head import Aspp, DeepLabV3Head
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import ImageSize
from tests.importing.archives import write_tar, write_zip
from tests.importing.detector_networks import ssdlite_graph
from tests.importing.executor import run_graph
from tests.importing.graph_builder import GraphBuilder
from tests.importing.graph_layers import DilatedForm, NormForm
from tests.importing.networks import classifier_graph, deeplab_graph, mobilenet_v2_nodes
from tests.importing.random_networks import randomise
from tests.importing.small_graphs import KERNEL, conv_graph, refusal, small
from tests.importing.tfjs import graphdef_from_tfjs, tfjs_values

TOLERANCES = {"fused": 1e-6, "unfused": 1e-6, "folded": 1e-4}
"""Of results in float64; folded weights are rounded to float32."""


def test_a_graph_has_its_constants_inputs_and_outputs() -> None:
    graph = graph_from_message(conv_graph().message, "a.pb")
    assert graph.source == "a.pb"
    assert graph.inputs == {"x": GraphInput((None, 8, 8, 2))}
    assert graph.outputs == ("conv",)
    assert not graph.quantized
    np.testing.assert_array_equal(graph.constants["w"], KERNEL)
    assert graph.constants["w"].flags.writeable


def test_graphs_that_are_not_frozen_are_refused() -> None:
    for op in ("VariableV2", "VarHandleOp"):
        builder = small()
        builder.node(op, "weights", [])
        assert "weights is a variable" in refusal(builder)
    builder = small()
    builder.message.library.function.add().signature.name = "layer"
    builder.node("Relu", "z", ["x"])
    assert graph_from_message(builder.message, "a").nodes
    builder.node("layer", "y", ["x"])
    assert "y calls a function" in refusal(builder)


@pytest.mark.parametrize(
    ("op", "name", "inputs", "message"),
    [
        ("Relu", "x", ["x"], "two nodes are called x"),
        ("Relu", "", ["x"], "proper name"),
        ("", "y", ["x"], "proper name"),
        ("Relu", "y", ["\x1b[2J"], "without a proper name"),
        ("Relu", "y", ["x:a"], "without a proper name"),
        ("Relu", "y", ["nowhere"], "nowhere is not in the file"),
        ("Relu", "y", ["x:1"], "x:1 is not in the file"),
        ("Relu", "y", ["conv:1"], "single output"),
        ("Conv2D", "y", ["x"], "reads 1 tensors"),
        ("dense", "y", ["x"], "has no operation dense"),
        ("Const", "c", [], "c has no value"),
    ],
)
def test_damaged_graphs_are_refused(op: str, name: str, inputs: list[str], message: str) -> None:
    builder = conv_graph()
    builder.node(op, name, inputs)
    assert message in refusal(builder)


def test_constants_that_nobody_reads_are_refused() -> None:
    builder = conv_graph()
    builder.const("left", np.zeros(3, np.float32))
    assert "left (3) is left over" in refusal(builder)


@pytest.mark.parametrize("suffix", [".pb", ".tar.gz", ".tar", ".zip"])
def test_any_damage_ends_in_a_message(tmp_path: Path, suffix: str) -> None:
    network = randomise(MobileNetV2(["block_1"], width_mult=0.35))
    content = classifier_like(network).SerializeToString()
    path = tmp_path / f"model{suffix}"
    if suffix == ".zip":
        write_zip(path, {"frozen_inference_graph.pb": content})
    elif suffix != ".pb":
        mode: Literal["w", "w:gz"] = "w:gz" if suffix == ".tar.gz" else "w"
        write_tar(path, {"frozen_inference_graph.pb": content}, mode)
    else:
        path.write_bytes(content)
    whole = path.read_bytes()
    assert read_graphdef(path).nodes
    chance, refused = random.Random(0), 0
    for turn in range(150):
        damaged = bytearray(whole)
        if turn % 2:
            del damaged[chance.randrange(len(whole)) :]
        else:
            for _ in range(chance.choice([1, 4, 30])):
                # The beginning and the end hold headers and directories.
                near = chance.randrange(300)
                place = chance.choice([near, -1 - near, chance.randrange(len(whole))])
                damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            read_graphdef(path)
        except UserError as error:
            refused += str(path) in str(error)
    assert refused > 50


def classifier_like(network: MobileNetV2) -> Any:
    builder = GraphBuilder()
    image = builder.placeholder("input", "float32", [None, None, None, 3])
    mobilenet_v2_nodes(builder, network, image)
    return builder.message


# The oracle: our networks, written as the authors' graphs, compute the same


def picture(size: ImageSize) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)


def images_of(fed: np.ndarray) -> Tensor:
    # The factor as a graph stores it, in float32.
    return torch.from_numpy(fed).permute(0, 3, 1, 2).double() * float(np.float32(2 / 255)) - 1


def run(message: Any, feeds: dict[str, np.ndarray], wanted: list[str]) -> list[np.ndarray]:
    """In float64: random networks enlarge float32's rounding until it hides differences."""
    return run_graph(message, feeds, wanted, torch.float64)


def assert_same(found: np.ndarray, wanted: Tensor, norm: NormForm = "fused") -> None:
    tolerance = TOLERANCES[norm]
    assert wanted.std() > 0.01
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("norm", ["fused", "unfused", "folded"])
@pytest.mark.parametrize("size", [ImageSize(96, 96), ImageSize(97, 130)])
def test_a_written_detector_computes_what_ours_does(norm: NormForm, size: ImageSize) -> None:
    backbone = MobileNetV2(width_mult=0.35, padding="same", norm_epsilon=1e-3)
    anchors = AnchorGenerator()
    options: dict[str, Any] = {"width_mult": 0.2, "padding": "same", "norm_epsilon": 1e-3}
    head = SSDHead(backbone.specs, anchors.counts, 1 + 7, **options)
    detector = randomise(Detector(backbone, head, anchors))
    fed = picture(size)
    message = ssdlite_graph(detector, size, norm)
    assert graph_from_message(message, "a").outputs == (
        "Postprocessor/Slice",
        "Postprocessor/ExpandDims_1",
    )
    made = ["concat", "concat_1", "Postprocessor/Slice", "Postprocessor/ExpandDims_1"]
    boxes, logits, scores, decoded = run(message, {"image_tensor": fed}, made)
    with torch.no_grad():
        outputs = detector.double()(images_of(fed))
    assert_same(boxes[:, :, 0], outputs.box_deltas[..., [1, 0, 3, 2]], norm)
    assert_same(logits, outputs.class_logits, norm)
    assert_same(scores, outputs.class_logits.sigmoid()[..., 1:], norm)
    corners = center_to_corner(decode_boxes(outputs.box_deltas, outputs.anchors))
    assert_same(decoded[:, :, 0], corners[..., [1, 0, 3, 2]], norm)


@pytest.mark.parametrize(
    ("norm", "dilated", "aspp", "stride"),
    [
        ("fused", "attribute", "none", 16),
        ("fused", "space_to_batch", "none", 8),
        ("unfused", "attribute", "dense", 8),
        ("folded", "space_to_batch", "separable", 16),
    ],
)
def test_a_written_segmenter_computes_what_ours_does(
    norm: NormForm, dilated: DilatedForm, aspp: Aspp, stride: int
) -> None:
    size = ImageSize(97, 81)
    options: dict[str, Any] = {"padding": "same", "norm_epsilon": 1e-3}
    backbone = MobileNetV2([DEEPLAB_TAP], width_mult=0.35, output_stride=stride, **options)
    head = DeepLabV3Head(backbone.specs[0], 5, aspp=aspp, channels=16)
    segmenter = randomise(Segmenter(backbone, head))
    fed = picture(size)
    message = deeplab_graph(segmenter, size, norm=norm, dilated=dilated)
    graph = graph_from_message(message, "a")
    assert graph.outputs == ("SemanticPredictions",)
    splits = sum(node.op == "space_to_batch_nd" for node in graph.nodes)
    assert (splits > 0) == (dilated == "space_to_batch")
    made = ["ResizeBilinear_1", "SemanticPredictions"]
    logits, labels = run(message, {"ImageTensor": fed}, made)
    with torch.no_grad():
        small_logits = segmenter.double()(images_of(fed)).class_logits
    options = {"mode": "bilinear", "align_corners": True}
    wanted = F.interpolate(small_logits, tuple(size), **options).permute(0, 2, 3, 1)
    assert_same(logits, wanted, norm)
    assert (labels == wanted.argmax(dim=-1).numpy()).mean() > 0.999


@pytest.mark.parametrize("size", [None, ImageSize(64, 64)])
def test_a_written_classifier_computes_what_ours_does(size: ImageSize | None) -> None:
    backbone = MobileNetV2(["last"], width_mult=0.35, padding="same", norm_epsilon=1e-3)
    classifier = randomise(Classifier(backbone, 11))
    images = images_of(picture(ImageSize(64, 64)))
    message = classifier_graph(classifier, size)
    pools = [node.op for node in graph_from_message(message, "a").nodes]
    assert ("mean" in pools, "avg_pool" in pools) == (size is None, size is not None)
    feeds = {"input": images.permute(0, 2, 3, 1).numpy()}
    (logits,) = run(message, feeds, ["MobilenetV2/Logits/Squeeze"])
    with torch.no_grad():
        assert_same(logits, classifier.double()(images))


def test_the_released_topology_is_read(shared: Path) -> None:
    path = shared / "data" / "weights" / "ssdlite_mobilenet_v2_coco_tfjs_model.json"
    content = json.loads(path.read_text())
    values = tfjs_values(content)
    graph = graph_from_message(graphdef_from_tfjs(content, values), str(path))
    # Of 641 nodes 262 are constants and one is the input.
    assert (len(graph.nodes), len(graph.constants)) == (378, 262)
    assert graph.inputs == {"image_tensor": GraphInput((None, None, None, 3), dtype="uint8")}
    assert graph.outputs == ("Postprocessor/Slice", "Postprocessor/ExpandDims_1")
    floats = [value for value in graph.constants.values() if value.dtype == np.float32]
    listed = content["weightsManifest"][0]["weights"]
    sizes = [math.prod(each["shape"]) for each in listed if each["dtype"] == "float32"]
    assert sum(value.size for value in floats) == sum(sizes) == 4_508_600
    place = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    for index, node in enumerate(graph.nodes):
        later = [name for name in node.inputs if place.get(name, -1) >= index]
        assert all(graph.nodes[place[name]].op == "next_iteration" for name in later)
    (resize,) = [node for node in graph.nodes if node.op == "resize_bilinear"]
    assert resize.attributes == {"align_corners": False, "half_pixel_centers": False}
