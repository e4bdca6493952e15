import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mnv2_dense.detection.network import Detector
from mnv2_dense.importing.found import Imported
from mnv2_dense.ops.boxes import center_to_corner
from mnv2_dense.segmentation.network import Segmenter
from mnv2_dense.structures import ImageSize
from tests.importing.detector_networks import ssdlite_graph
from tests.importing.executor import run_graph
from tests.importing.graph_builder import GraphBuilder, new_message
from tests.importing.graph_layers import DilatedForm, NormForm
from tests.importing.networks import classifier_graph, deeplab_graph
from tests.importing.random_networks import (
    assert_same_states,
    classifier,
    detector,
    import_message,
    rebuild,
    refusal,
    segmenter,
)
from tests.importing.release_forms import edit, find, insert, remove

NARROW = {"width_mult": 0.35}
SMALL_HEAD = {"extra_channels": (32, 24, 24, 16)}
SIZE = ImageSize(96, 96)
OUTPUTS = ["concat", "concat_1", "Postprocessor/ExpandDims"]


# Round trips


class Case(NamedTuple):
    classes: int
    size: ImageSize
    backbone: dict[str, Any]
    norm: NormForm = "fused"


@pytest.mark.parametrize(
    "case",
    [
        Case(3, ImageSize(300, 300), {"width_mult": 1.0}),
        Case(80, ImageSize(320, 320), {"width_mult": 0.35}, "unfused"),
        Case(3, ImageSize(96, 128), {"width_mult": 0.5}, "unfused"),
        Case(3, SIZE, {"width_mult": 0.75}),
        Case(3, SIZE, {"width_mult": 0.25, "min_channels": 16}),
        Case(3, SIZE, {"width_mult": 0.3, "channel_divisor": 1, "min_channels": 1}),
        Case(3, SIZE, {"width_mult": 0.5, "min_channels": 16, "first_shortcut": False}),
        Case(3, SIZE, {"width_mult": 0.35, "last_channels": 448}),
        Case(3, SIZE, {"width_mult": 0.35, "expansion": 4}),
    ],
    ids=str,
)
def test_detectors_come_back_exactly(case: Case) -> None:
    head: dict[str, Any] = {} if case.size == (300, 300) else SMALL_HEAD
    original = detector(case.classes, case.backbone, head=head)
    imported = import_message(ssdlite_graph(original, case.size, case.norm))
    assert imported.task == "detection"
    assert_same_states(imported.state, original.state_dict())
    rebuilt = rebuild(imported)
    assert isinstance(rebuilt, Detector)
    assert rebuilt.anchor_generator.shapes == original.anchor_generator.shapes
    assert imported.folded == 0
    assert [each.category_id for each in imported.categories] == list(range(1, case.classes + 1))
    given = imported.settings["input"]
    assert (given["height"], given["width"]) == case.size
    assert given["resize"] == "legacy_bilinear"


@functools.cache
def _detector_bytes() -> bytes:
    network = detector(3, {**NARROW, "last_channels": 64}, head=SMALL_HEAD)
    return ssdlite_graph(network, SIZE).SerializeToString()


def detector_message() -> Any:
    """A small SSDLite's graph, to be changed."""
    message = new_message()
    message.ParseFromString(_detector_bytes())
    return message


def test_coco_columns_are_chosen_among_the_slots() -> None:
    original = detector(90, {**NARROW, "last_channels": 64}, head=SMALL_HEAD)
    imported = import_message(ssdlite_graph(original, SIZE))
    ids = [category.category_id for category in imported.categories]
    assert (len(ids), ids[0], ids[11], ids[-1]) == (80, 1, 13, 90)
    assert imported.categories[16].name == "dog"
    rebuilt = rebuild(imported)
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        ours, theirs = rebuilt(images), original(images)
    torch.testing.assert_close(ours.class_logits, theirs.class_logits[..., [0, *ids]])
    torch.testing.assert_close(ours.box_deltas, theirs.box_deltas)
    (note,) = (note for note in imported.notes if "10 of 91" in note)
    assert "COCO's are assumed" in note


@pytest.mark.parametrize("dilated", ["attribute", "space_to_batch"])
@pytest.mark.parametrize(
    ("stride", "norm", "head"),
    [
        (8, "fused", {"aspp": "dense"}),
        (8, "unfused", {"aspp": "separable", "atrous_rates": (3, 5)}),
        (16, "fused", {"aspp": "none", "activation": "relu6"}),
        (16, "fused", {"aspp": "dense"}),
        (32, "fused", {"aspp": "separable"}),
    ],
)
def test_segmenters_come_back_exactly(
    dilated: DilatedForm, stride: int, norm: NormForm, head: dict[str, Any]
) -> None:
    original = segmenter(21, {**NARROW, "output_stride": stride}, channels=16, **head)
    # Atrous rates of SpaceToBatchND must not exceed what the map allows.
    imported = import_message(
        deeplab_graph(original, ImageSize(129, 97), norm=norm, dilated=dilated)
    )
    assert imported.task == "segmentation"
    assert_same_states(imported.state, original.state_dict())
    assert isinstance(rebuild(imported), Segmenter)
    assert imported.settings["backbone"]["output_stride"] == stride
    found = imported.settings["head"]
    assert (found["channels"], found["norm_epsilon"]) == (16, 1e-5)
    for key, value in head.items():
        assert found[key] == (list(value) if isinstance(value, tuple) else value)
    assert [each.name for each in imported.categories[:2]] == ["background", "aeroplane"]
    assert imported.settings["data"]["classes"] == [each.name for each in imported.categories]


@pytest.mark.parametrize("size", [None, ImageSize(64, 96)])
def test_classifiers_come_back_exactly(size: ImageSize | None) -> None:
    original = classifier(1001, **NARROW)
    imported = import_message(classifier_graph(original, size))
    assert imported.task == "classification"
    assert_same_states(imported.state, original.state_dict())
    rebuild(imported)
    given = imported.settings["input"]
    assert (given["height"], given["width"]) == (size or (224, 224))
    assert any("224 is assumed" in note for note in imported.notes) == (size is None)
    assert any("x * 2 / 255 - 1 is assumed" in note for note in imported.notes)


def test_epsilons_are_the_files() -> None:
    imported = import_message(ssdlite_graph(detector(3, {**NARROW, "norm_epsilon": 0.003}), SIZE))
    assert imported.settings["backbone"]["norm_epsilon"] == 0.003


# The graph, executed, computes what the imported network does


def picture(size: ImageSize) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)


def images_of(imported: Imported, fed: np.ndarray) -> Tensor:
    """A picture by the config's normalisation."""
    given: Any = imported.settings["input"]
    mean, std = (torch.tensor(given[key], dtype=torch.float64) for key in ("mean", "std"))
    return ((torch.from_numpy(fed).double() - mean) / std).permute(0, 3, 1, 2)


def assert_close(found: Tensor, wanted: np.ndarray, tolerance: float = 1e-5) -> None:
    assert wanted.std() > 0.01
    limit = float(np.abs(wanted).max()) * tolerance
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=0, atol=limit)


@pytest.mark.parametrize("norm", ["fused", "unfused", "folded"])
def test_imported_detectors_compute_what_the_graph_does(norm: NormForm) -> None:
    message = ssdlite_graph(detector(7, NARROW, head=SMALL_HEAD), SIZE, norm)
    imported = import_message(message)
    # Backbone with its last layer, and the extra levels; those of predictions stay fused.
    assert imported.folded == (52 + 12 if norm == "folded" else 0)
    fed = picture(SIZE)
    boxes, logits, corners = run_graph(message, {"image_tensor": fed}, OUTPUTS, torch.float64)
    with torch.no_grad():
        outputs = rebuild(imported).double()(images_of(imported, fed))
    assert_close(outputs.box_deltas[..., [1, 0, 3, 2]], boxes[:, :, 0])
    assert_close(outputs.class_logits, logits)
    ours = center_to_corner(outputs.anchors)[:, [1, 0, 3, 2]].double()
    assert_close(ours, corners[0], 1e-6)


def test_norms_of_several_epsilons_compute_what_the_graph_does() -> None:
    message = detector_message()
    for node in message.node:
        if node.op == "FusedBatchNorm" and "depthwise" in node.name:
            node.attr["epsilon"].f = 0.5
    imported, fed = import_message(message), picture(SIZE)
    assert imported.settings["backbone"]["norm_epsilon"] == 0.001
    (wanted,) = run_graph(message, {"image_tensor": fed}, ["concat_1"], torch.float64)
    with torch.no_grad():
        assert_close(rebuild(imported).double()(images_of(imported, fed)).class_logits, wanted)


@pytest.mark.parametrize(
    ("norm", "dilated", "aspp"),
    [
        ("fused", "space_to_batch", "dense"),
        ("unfused", "attribute", "separable"),
        ("folded", "attribute", "none"),
        ("folded", "space_to_batch", "separable"),
    ],
)
def test_imported_segmenters_compute_what_the_graph_does(
    norm: NormForm, dilated: DilatedForm, aspp: str
) -> None:
    size = ImageSize(97, 81)
    message = deeplab_graph(
        segmenter(5, NARROW, channels=16, aspp=aspp), size, norm=norm, dilated=dilated
    )
    imported = import_message(message)
    assert (imported.folded > 50) == (norm == "folded")
    fed = picture(size)
    (wanted,) = run_graph(message, {"ImageTensor": fed}, ["ResizeBilinear_1"], torch.float64)
    with torch.no_grad():
        logits = rebuild(imported).double()(images_of(imported, fed)).class_logits
    corners = imported.settings["head"]["align_corners"]
    assert corners is True
    options: dict[str, Any] = {"mode": "bilinear", "align_corners": corners}
    assert_close(F.interpolate(logits, tuple(size), **options).permute(0, 2, 3, 1), wanted)


@pytest.mark.parametrize("norm", ["fused", "folded"])
def test_imported_classifiers_compute_what_the_graph_does(norm: NormForm) -> None:
    message = classifier_graph(classifier(11, **NARROW), SIZE, norm=norm)
    imported = import_message(message)
    images = images_of(imported, picture(SIZE))
    feeds = {"input": images.permute(0, 2, 3, 1).numpy()}
    (wanted,) = run_graph(message, feeds, ["MobilenetV2/Logits/Squeeze"], torch.float64)
    with torch.no_grad():
        assert_close(rebuild(imported).double()(images), wanted)


def test_the_named_outputs_of_the_file_are_those_of_our_modules() -> None:
    message = detector_message()
    imported = import_message(message)
    network, made = rebuild(imported).double(), dict[str, Any]()

    def keep(name: str) -> Any:
        def hook(*values: Any) -> None:
            made[name] = values[-1]

        return hook

    named = [pair for pair in imported.outputs if not pair[0].startswith("head.box_branches")]
    for module, _ in named:
        network.get_submodule(module).register_forward_hook(keep(module))
    fed = picture(SIZE)
    theirs = run_graph(
        message, {"image_tensor": fed}, [tensor for _, tensor in named], torch.float64
    )
    with torch.no_grad():
        network(images_of(imported, fed))
    assert len(named) > 70
    for (module, _), wanted in zip(named, theirs, strict=True):
        ours = made[module][0] if isinstance(made[module], tuple) else made[module]
        assert_close(ours.permute(0, 2, 3, 1), wanted, 1e-4)


# What is left over, missing or of another kind


def test_every_tensor_is_used_or_explained() -> None:
    message = detector_message()
    imported = import_message(message)
    axes = {"concat/axis", "concat_1/axis"}  # attributes in the neutral form
    consts = {node.name for node in message.node if node.op == "Const"} - axes
    assert {*imported.used} | {*imported.not_needed} == consts
    assert not {*imported.used} & {*imported.not_needed}
    assert imported.used["FeatureExtractor/MobilenetV2/Conv/weights"] == "backbone.stem.0"
    assert "anchors" in imported.not_needed["Postprocessor/ExpandDims"]
    assert "prepares the picture" in imported.not_needed["Preprocessor/mul/x"]


def test_a_missing_tensor_is_named() -> None:
    message = detector_message()
    gone = "FeatureExtractor/MobilenetV2/expanded_conv_3/depthwise/BatchNorm/gamma"
    remove(message, gone)
    assert f"{gone} is not in the file" in refusal(message)


def test_a_tensor_that_nobody_reads_is_named() -> None:
    message = detector_message()
    edit(message).const("left/weights", np.zeros((3, 3), np.float32))
    assert "left/weights (3x3) is left over" in refusal(message)


def test_settings_that_nobody_reads_do_no_harm() -> None:
    message = detector_message()
    edit(message).const("step", np.int64(200_000))
    assert import_message(message).not_needed["step"] == "nothing in the file reads it"


@pytest.mark.parametrize("count", [2, 5])
def test_constants_of_another_operation_are_named(count: int) -> None:
    message = detector_message()
    factors = edit(message).const("factors", np.ones(count, np.float32))
    edit(message).node("Pow", "power", ["concat_1", factors])
    assert f"factors ({count}) is left over: power reads it" in refusal(message)


@pytest.mark.parametrize(
    ("data", "channels"),
    [("expanded_conv_4/add", 16), ("Conv_1/Relu6", 64), ("expanded_conv_13/expand/Relu6", 192)],
)
def test_an_additional_layer_is_named(data: str, channels: int) -> None:
    message = detector_message()
    builder = edit(message)
    kernel = builder.const("more/weights", np.ones((1, 1, channels, 8), np.float32))
    data = f"FeatureExtractor/MobilenetV2/{data}"
    builder.node("Conv2D", "more/Conv2D", [data, kernel], strides=[1, 1, 1, 1], padding="SAME")
    assert "more/" in refusal(message)


EXPAND = "FeatureExtractor/MobilenetV2/expanded_conv_5/expand"


def reshape_constant(message: Any, name: str, shape: tuple[int, ...]) -> None:
    node = remove(message, name)
    edit(message).const(node.name, np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("FeatureExtractor/MobilenetV2/Conv/weights", (5, 5, 3, 16), "5x5 layer"),
        ("FeatureExtractor/MobilenetV2/Conv/weights", (3, 3, 3, 17), "MobilenetV2/Conv/"),
        (f"{EXPAND}/weights", (1, 1, 16), f"{EXPAND}/weights"),
        (f"{EXPAND}/weights", (1, 1, 16, 60), "does not fit the 60 channels"),
        (
            "FeatureExtractor/MobilenetV2/expanded_conv_5/depthwise/depthwise_weights",
            (3, 3, 96, 2),
            "expanded_conv_5/depthwise",
        ),
        (
            "FeatureExtractor/MobilenetV2/expanded_conv_5/depthwise/BatchNorm/gamma",
            (95,),
            "expanded_conv_5/depthwise",
        ),
        ("BoxPredictor_1/BoxEncodingPredictor/weights", (1, 1, 64, 23), "BoxPredictor_1"),
        ("BoxPredictor_1/ClassPredictor/weights", (1, 1, 64, 23), "BoxPredictor_1"),
        ("BoxPredictor_1/ClassPredictor/biases", (23,), "BoxPredictor_1/ClassPredictor/biases"),
    ],
)
def test_a_tensor_of_another_shape_is_named(name: str, shape: tuple[int, ...], words: str) -> None:
    message = detector_message()
    reshape_constant(message, name, shape)
    assert words in refusal(message)


SCOPE = "FeatureExtractor/MobilenetV2/"


def test_other_activations_are_refused() -> None:
    message = detector_message()
    find(message, f"{SCOPE}expanded_conv_2/expand/Relu6").op = "Relu"
    words = refusal(message)
    assert f"{SCOPE}expanded_conv_2/expand" in words
    assert "with relu and" in words


def test_a_missing_shortcut_is_refused() -> None:
    message = detector_message()
    node = find(message, f"{SCOPE}expanded_conv_2/add")
    node.op = "Identity"
    del node.input[1:]
    words = refusal(message)
    assert f"{SCOPE}expanded_conv_2/project" in words
    assert "no shortcut" in words


def test_valid_padding_is_refused() -> None:
    message = detector_message()
    find(message, f"{SCOPE}expanded_conv_2/depthwise/depthwise").attr["padding"].s = b"VALID"
    assert "padded valid" in refusal(message)


def test_other_strides_are_refused() -> None:
    message = detector_message()
    node = find(message, f"{SCOPE}expanded_conv_1/depthwise/depthwise")
    node.attr["strides"].list.i[:] = [1, 1, 1, 1]
    assert "strides and dilations" in refusal(message)


def test_layers_that_are_read_before_their_activation_are_refused() -> None:
    message = detector_message()
    find(message, f"{SCOPE}expanded_conv_1/depthwise/depthwise").input[0] = (
        f"{SCOPE}expanded_conv_1/expand/BatchNorm/FusedBatchNorm"
    )
    refusal(message)


def test_something_unknown_between_layers_is_refused() -> None:
    message = detector_message()
    insert(message, f"{SCOPE}expanded_conv_2/depthwise/depthwise", 0, "Tanh", "tanh")
    assert "no network that is known here" in refusal(message)


@pytest.mark.parametrize(
    "reader", ["depthwise/depthwise", "project/BatchNorm/FusedBatchNorm", "expand/Relu6"]
)
def test_something_unknown_added_to_a_map_is_refused(reader: str) -> None:
    message = detector_message()
    noise = edit(message).placeholder("noise", "float32", [1])
    insert(message, f"{SCOPE}expanded_conv_2/{reader}", 0, "Add", "noisy", noise)
    assert "no network that is known here" in refusal(message)


def test_other_networks_are_refused() -> None:
    builder = GraphBuilder()
    image = builder.placeholder("input", "float32", [1, 96, 96, 3])
    channels = 3
    for index in range(5):
        for op, shape, stride in (
            ("DepthwiseConv2dNative", (3, 3, channels, 1), 1),
            ("Conv2D", (1, 1, channels, 8), 1),
        ):
            if index == 0 and op == "DepthwiseConv2dNative":
                continue
            kernel = builder.const(f"w{index}{op}", np.ones(shape, np.float32))
            image = builder.node(
                op, f"{op}{index}", [image, kernel], strides=[1, stride, stride, 1], padding="SAME"
            )
            image = builder.node("Relu6", f"{op}{index}/Relu6", [image])
        channels = 8
    words = refusal(builder.message)
    assert "Conv2D0" in words
    assert "known are MobileNetV2 classifiers, SSDLite" in words


def test_a_backbone_without_a_head_is_refused() -> None:
    message = classifier_graph(classifier(4, **NARROW))
    names = [node.name for node in message.node]
    first = names.index("MobilenetV2/Conv_1/weights")
    del message.node[first:]
    assert "nothing where one layer behind the last bottleneck belongs" in refusal(message)


def test_graphs_without_a_convolution_of_pictures_are_refused() -> None:
    builder = GraphBuilder()
    image = builder.placeholder("input", "float32", [1, 96, 96, 1])
    kernel = builder.const("w", np.ones((3, 3, 1, 8), np.float32))
    builder.node("Conv2D", "conv", [image, kernel], strides=[1, 1, 1, 1], padding="SAME")
    assert "a picture's three channels" in refusal(builder.message)


@pytest.mark.parametrize(("value", "words"), [(-5.0, "is negative"), (3e38, "NaN or infinite")])
def test_statistics_that_give_no_weights_are_refused(value: float, words: str) -> None:
    """Every constant is finite, but no network comes of them."""
    message = detector_message()
    name = next(node.name for node in message.node if node.name.endswith("moving_variance"))
    tensor = find(message, name).attr["value"].tensor
    size = tensor.tensor_shape.dim[0].size
    remove(message, name)
    edit(message).const(name, np.full(size, value, np.float32))
    for node in message.node:
        if node.op == "FusedBatchNorm" and any(name in each for each in node.input):
            node.attr["epsilon"].f = 3e38
    assert words in refusal(message)
