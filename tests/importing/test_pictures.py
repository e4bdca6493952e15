from typing import Any

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph, GraphInput
from mnv2_dense.importing.graphdef import graph_from_message
from mnv2_dense.importing.pictures import (
    Preparation,
    detector_resize,
    note_resize,
    read_preparation,
)
from mnv2_dense.importing.steps import Steps
from mnv2_dense.structures import ImageSize
from tests.importing.detector_networks import ssdlite_graph
from tests.importing.graph_builder import GraphBuilder
from tests.importing.graph_layers import resize
from tests.importing.networks import classifier_graph
from tests.importing.random_networks import classifier, detector, import_message
from tests.importing.release_forms import edit, find, insert

NARROW = {"width_mult": 0.35, "last_channels": 64}
RELEASE = ((127.5,) * 3, (127.5,) * 3)


def builder_of(
    shape: tuple[int | None, ...] = (None, None, None, 3), dtype: str = "uint8"
) -> GraphBuilder:
    builder = GraphBuilder()
    builder.placeholder("image", dtype, shape)
    builder.node("Cast", "bytes", ["image"])
    return builder


def prepare(builder: GraphBuilder, tensor: str) -> Preparation:
    """What is read of a graph whose first convolution reads `tensor`."""
    kernel = builder.const("kernel", np.ones((3, 3, 3, 8), np.float32))
    builder.node("Conv2D", "conv", [tensor, kernel], strides=[1, 2, 2, 1], padding="SAME")
    steps = Steps(graph_from_message(builder.message, "here.pb"))
    return read_preparation(steps.graph, steps.stem_input, steps.constants)


def chain(*steps: tuple[str, str, Any]) -> Preparation:
    """Operations one behind the other: their kind, the picture's side and the other value."""
    builder = builder_of()
    tensor = "bytes"
    for index, (op, side, value) in enumerate(steps):
        constant = builder.const(f"c{index}", np.array(value, np.float32))
        inputs = [tensor, constant] if side == "first" else [constant, tensor]
        tensor = builder.node(op, f"n{index}", inputs)
    return prepare(builder, tensor)


@pytest.mark.parametrize(
    "steps",
    [
        [("Mul", "second", 2 / 255), ("Sub", "first", 1)],
        [("Mul", "first", 2), ("RealDiv", "first", 255), ("Sub", "first", 1)],
        [("RealDiv", "first", 127.5), ("Sub", "first", 1)],
        [("Sub", "first", 127.5), ("RealDiv", "first", 127.5)],
        [("Sub", "first", 127.5), ("Mul", "first", 1 / 127.5)],
        [("Mul", "first", 1 / 127.5), ("Add", "first", -1)],
        [("Sub", "second", 127.5), ("Mul", "first", -1 / 127.5)],
        [("Sub", "first", [127.5] * 3), ("RealDiv", "first", [[[127.5] * 3]])],
        [("Mul", "first", 1 / 255), ("Sub", "first", 0.5), ("Mul", "first", 2)],
    ],
)
def test_spellings_of_the_releases_normalisation(steps: list[tuple[str, str, Any]]) -> None:
    found = chain(*steps)
    assert (found.mean, found.std) == RELEASE
    assert not found.assumed


def test_channels_have_their_own() -> None:
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    found = chain(("Sub", "first", mean), ("RealDiv", "first", std))
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(std)


def test_normalised_pictures_are_fed_where_the_graph_does_nothing_to_floats() -> None:
    found = prepare(builder_of(dtype="float32"), "bytes")
    assert found.assumed
    assert (found.mean, found.std) == RELEASE


def test_bytes_are_fed_as_they_are_where_the_graph_does_nothing() -> None:
    found = prepare(builder_of(), "bytes")
    assert not found.assumed
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))
    fed = {"image": GraphInput(None, dtype="uint8")}
    found = read_preparation(Graph("here.tflite", [], {}, fed, ()), "image", {})
    assert not found.assumed


@pytest.mark.parametrize("dtype", ["string", "type 6", "bool"])
def test_what_holds_no_pictures_is_refused(dtype: str) -> None:
    graph = Graph("here.pb", [], {}, {"image": GraphInput(None, dtype=dtype)}, ())
    with pytest.raises(UserError, match=rf"here\.pb: image, the input, is of {dtype}"):
        read_preparation(graph, "image", {})


def test_pictures_of_four_channels_are_refused() -> None:
    with pytest.raises(UserError, match="image, the input, is of 4 channels"):
        prepare(builder_of((1, None, None, 4)), "bytes")


@pytest.mark.parametrize(
    ("scale", "zero_point", "mean", "std"),
    [(1 / 128, 128, 128, 128), (1 / 127.5, 127, 127, 127.5), (1 / 255, 0, 0, 255)],
)
def test_bytes_of_a_quantised_input(
    scale: float, zero_point: float, mean: float, std: float
) -> None:
    fed = {"image": GraphInput((1, 64, 96, 3), scale, zero_point)}
    graph = Graph("here.tflite", [], {}, fed, ())
    found = read_preparation(graph, "image", {})
    assert (found.mean, found.std) == ((mean,) * 3, (std,) * 3)
    assert found.size == (64, 96)
    assert not found.assumed


def test_a_picture_that_is_moved_keeps_its_values() -> None:
    builder = builder_of()
    axis = builder.const("axis", np.int32(0))
    mean = builder.const("mean", np.full(3, 127.5, np.float32))
    shape = builder.const("shape", np.array([1, 1, 3], np.int32))
    value = builder.node("Reshape", "value", [mean, shape])
    sides = builder.node("Shape", "sides", ["bytes"])
    tensor = builder.node("Squeeze", "single", ["bytes"], squeeze_dims=[0])
    tensor = builder.node("Sub", "centred", [tensor, value])
    tensor = builder.node("Pad", "padded", [tensor, sides])
    tensor = builder.node("Add", "back", [tensor, value])
    tensor = builder.node("ExpandDims", "batch", [tensor, axis])
    factor = builder.const("factor", np.float32(2 / 255))
    tensor = builder.node("Mul", "scaled", [tensor, factor])
    one = builder.const("one", np.float32(1))
    found = prepare(builder, builder.node("Sub", "normal", [tensor, one]))
    assert (found.mean, found.std) == RELEASE
    assert {"padded", "sides", "centred", "bytes"} <= found.nodes
    assert "conv" not in found.nodes


@pytest.mark.parametrize("value", [[0.1, 0.2], "bytes"])
def test_other_normalisations_are_refused(value: Any) -> None:
    builder = builder_of()
    other = value if isinstance(value, str) else builder.const("two", np.float32(value))
    if value == "bytes":
        other = builder.node("Mean", "brightness", ["bytes", builder.const("axes", np.int32(1))])
    tensor = builder.node("Sub", "centred", ["bytes", other])
    with pytest.raises(UserError, match=r"here\.pb: centred changes pictures"):
        prepare(builder, tensor)


def test_inverted_pictures_are_refused() -> None:
    with pytest.raises(UserError, match="inverts pictures"):
        chain(("Sub", "second", 255))


def test_a_reciprocal_of_pictures_is_refused() -> None:
    with pytest.raises(UserError, match="n0 changes pictures"):
        chain(("RealDiv", "second", 1))


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({}, "legacy_bilinear"),
        ({"half_pixel_centers": True}, "bilinear"),
        ({"align_corners": True}, "align_corners"),
    ],
)
def test_resizing(attributes: dict[str, bool], rule: str) -> None:
    builder = builder_of()
    size = builder.const("size", np.array([300, 200], np.int32))
    found = prepare(
        builder, builder.node("ResizeBilinear", "resize", ["bytes", size], **attributes)
    )
    assert (found.size, found.resize) == (ImageSize(300, 200), rule)


def padded(op: str = "ResizeBilinear") -> Preparation:
    """Resized and then padded with zeros, which are the mean of bytes that are fed as they are."""
    builder = builder_of()
    size = builder.const("size", np.array([300, 200], np.int32))
    tensor = builder.node(op, "resize", ["bytes", size])
    pads = builder.node("Shape", "pads", ["image"])
    return prepare(builder, builder.node("Pad", "pad", [tensor, pads]))


def test_sizes_that_pictures_are_padded_to_are_unknown() -> None:
    found = padded()
    assert (found.size, found.resize, found.sizing) == (None, None, ("resize_bilinear", "pad"))


def test_a_margin_of_nothing_is_none() -> None:
    builder = builder_of()
    tensor = resize(builder, "resize", "bytes", (300, 200))
    pads = builder.const("pads", np.zeros((4, 2), np.int32))
    assert prepare(builder, builder.node("Pad", "pad", [tensor, pads])).size == (300, 200)


@pytest.mark.parametrize("op", ["ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea"])
def test_a_detector_resizes_by_one_bilinear_resize(op: str) -> None:
    builder = builder_of()
    size = builder.const("size", np.array([300, 200], np.int32))
    builder.node(op, "resize", ["bytes", size])
    single = prepare(builder, "resize")
    builder = builder_of()
    resize(builder, "first", "bytes", (500, 500), align_corners=False)
    twice = prepare(builder, resize(builder, "second", "first", (300, 300), align_corners=False))
    for found in (single, twice, padded()):
        assert found.resize is None
        words = f"here.pb: resizes pictures by {', '.join(found.sizing)}, which no config value"
        with pytest.raises(UserError, match=words):
            detector_resize(found, "here.pb", [])
        notes: list[str] = []
        note_resize(found, notes)
        assert notes
        assert all("the file resizes pictures by" in note for note in notes)


def test_a_detector_without_a_resize_is_fed_resized_pictures() -> None:
    notes: list[str] = []
    assert detector_resize(prepare(builder_of(), "bytes"), "here.pb", notes) == "bilinear"
    assert notes == ["the file is fed resized pictures; input.resize=bilinear is assumed"]
    builder = builder_of()
    tensor = resize(builder, "resize", "bytes", (300, 300), align_corners=False)
    notes.clear()
    assert detector_resize(prepare(builder, tensor), "here.pb", notes) == "legacy_bilinear"
    assert not notes


def test_the_size_of_what_is_fed() -> None:
    assert prepare(builder_of((1, 64, 96, 3)), "bytes").size == (64, 96)
    assert prepare(builder_of((1, None, 96, 3)), "bytes").size is None


def test_a_loop_over_pictures() -> None:
    """`tf.map_fn` around the resize, as in the release."""
    builder = builder_of()
    zero, one = builder.const("zero", np.int32(0)), builder.const("one", np.int32(1))
    size = builder.const("size", np.array([300, 300], np.int32))
    builder.node("Enter", "enter", [zero])
    builder.node("Merge", "merge", ["enter", "next"])
    builder.node("LoopCond", "more", [builder.node("Less", "less", ["merge", one])])
    builder.node("Switch", "switch", ["merge", "more"])
    builder.node("NextIteration", "next", [builder.node("Add", "count", ["switch:1", one])])
    builder.node("Enter", "pictures", ["bytes"])
    builder.node("TensorArrayReadV3", "read", ["pictures", "switch:1"])
    entered = builder.node("Enter", "entered_size", [size])
    builder.node("ResizeBilinear", "resize", ["read", entered])
    builder.node("TensorArrayWriteV3", "write", ["resize", "switch:1"])
    builder.node("Exit", "exit", ["write"])
    factor = builder.const("factor", np.float32(2 / 255))
    tensor = builder.node("Mul", "scaled", [factor, "exit"])
    found = prepare(
        builder, builder.node("Sub", "normal", [tensor, builder.const("1", np.float32(1))])
    )
    assert (found.mean, found.std) == RELEASE
    assert (found.size, found.resize) == ((300, 300), "legacy_bilinear")
    assert {"next", "merge", "bytes"} <= found.nodes


def test_a_detectors_own_resize_reaches_its_config() -> None:
    size = ImageSize(96, 96)
    network = detector(3, NARROW, head={"extra_channels": (32, 24, 24, 16)})
    given = import_message(ssdlite_graph(network, size)).settings["input"]
    assert given["resize"] == "legacy_bilinear"
    message = ssdlite_graph(network, size)
    find(message, "Preprocessor/ResizeBilinear").op = "ResizeBicubic"
    with pytest.raises(UserError, match="resizes pictures by resize_bicubic, which no config"):
        import_message(message)


def test_a_classifiers_own_resize_is_noted() -> None:
    message = classifier_graph(classifier(4, **NARROW), ImageSize(96, 96))
    size = edit(message).const("size", np.array([96, 96], np.int32))
    insert(message, "MobilenetV2/Conv/Conv2D", 0, "ResizeBicubic", "resize", size)
    notes = import_message(message).notes
    assert any("the file resizes pictures by resize_bicubic" in note for note in notes)


@pytest.mark.parametrize(
    "size", [np.array([9.5, 9], np.float32), np.array([0, 9]), np.array([b"9", b"9"], object)]
)
def test_sizes_that_are_none(size: np.ndarray) -> None:
    builder = builder_of()
    name = builder.const("size", size)
    builder.node("ResizeBilinear", "resized", ["bytes", name])
    assert prepare(builder, "resized").size is None


@pytest.mark.parametrize("fill", [np.ones(5, np.float32), np.array([b"0"], object)])
def test_odd_paddings_are_refused(fill: np.ndarray) -> None:
    builder = builder_of()
    builder.node("Shape", "sides", ["bytes"])
    builder.node("PadV2", "padded", ["bytes", "sides", builder.const("fill", fill)])
    with pytest.raises(UserError, match="pads pictures with another value"):
        prepare(builder, "padded")
    builder = builder_of()
    builder.node("Pad", "padded", ["bytes"])
    with pytest.raises(UserError, match="pads pictures with another value"):
        prepare(builder, "padded")
