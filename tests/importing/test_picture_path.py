from typing import Any

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graphdef import graph_from_message
from mnv2_dense.importing.picture_path import PicturePath, follow_picture
from mnv2_dense.importing.steps import Steps
from tests.importing.graph_builder import GraphBuilder


def builder_of() -> GraphBuilder:
    builder = GraphBuilder()
    builder.placeholder("image", "uint8", (1, None, None, 3))
    builder.node("Cast", "bytes", ["image"])
    return builder


def follow(builder: GraphBuilder, tensor: str) -> PicturePath:
    """The way to a first convolution that reads `tensor`."""
    kernel = builder.const("kernel", np.ones((3, 3, 3, 8), np.float32))
    builder.node("Conv2D", "conv", [tensor, kernel], strides=[1, 2, 2, 1], padding="SAME")
    steps = Steps(graph_from_message(builder.message, "here.pb"))
    return follow_picture(steps.graph, steps.stem_input, steps.constants)


def normalise(builder: GraphBuilder, tensor: str, scope: str = "") -> str:
    factor = builder.const(f"{scope}factor", np.float32(0.25))
    tensor = builder.node("Mul", f"{scope}scaled", [tensor, factor])
    return builder.node(
        "Sub", f"{scope}normal", [tensor, builder.const(f"{scope}shift", np.float32(2))]
    )


def assert_normalised(found: PicturePath) -> None:
    assert found.fed == "image"
    np.testing.assert_allclose(found.change.scale, [0.25] * 3)
    np.testing.assert_allclose(found.change.offset, [-2] * 3)


def integers(builder: GraphBuilder, name: str, values: Any) -> str:
    return builder.const(name, np.array(values, np.int32))


@pytest.mark.parametrize("at_the_stem", [False, True])
@pytest.mark.parametrize(
    ("op", "constants"),
    [
        ("ReverseV2", [[3]]),
        ("GatherV2", [[2, 1, 0], 3]),
        ("StridedSlice", [[0, 0, 0, 2], [1, 9, 9, -4], [1, 1, 1, -1]]),
        ("StridedSlice", [[0, 0, 0, 0], [1, 64, 64, 3], [1, 1, 1, 1]]),
        ("Slice", [[0, 0, 0, 0], [1, 64, 64, 3]]),
        ("Transpose", [[0, 2, 1, 3]]),
        ("MirrorPad", [[[0, 0], [1, 1], [1, 1], [0, 0]]]),
        ("Tanh", []),
        ("Relu", []),
    ],
)
def test_what_changes_channels_or_values_is_refused(
    op: str, constants: list[Any], at_the_stem: bool
) -> None:
    builder = builder_of()
    tensor = normalise(builder, "bytes") if at_the_stem else "bytes"
    inputs = [integers(builder, f"c{place}", values) for place, values in enumerate(constants)]
    tensor = builder.node(op, "changed", [tensor, *inputs])
    tensor = tensor if at_the_stem else normalise(builder, tensor)
    with pytest.raises(UserError, match=r"here\.pb: changed \(.*\) changes pictures before the"):
        follow(builder, tensor)


def test_the_same_operations_on_shapes_are_let_be() -> None:
    builder = builder_of()
    shape = builder.node("Shape", "shape", ["bytes"])
    ends = [integers(builder, f"end{place}", [place]) for place in (1, 3)]
    sides = builder.node("StridedSlice", "sides", [shape, *ends, ends[0]])
    sides = builder.node("ReverseV2", "turned", [sides, integers(builder, "axis", [0])])
    tensor = builder.node("ResizeBilinear", "resize", ["bytes", sides])
    found = follow(builder, normalise(builder, tensor))
    assert_normalised(found)
    assert [node.name for node in found.sizing] == ["resize"]


def loop(builder: GraphBuilder, *, inside: bool) -> str:
    """`tf.map_fn` over pictures as TensorFlow writes it, normalised in it or behind it."""
    one = integers(builder, "one", 1)
    for name in ("array", "results"):
        builder.node("TensorArrayV3", name, [one])
    builder.node("TensorArrayScatterV3", "scatter", ["array", one, "bytes", "array:1"])
    builder.node("Enter", "flow", ["scatter"])
    builder.node("Enter", "start", ["results:1"])
    builder.node("Merge", "merge", ["start", "next"])
    builder.node("Switch", "switch", ["merge", builder.node("LoopCond", "more", [one])])
    tensor = builder.node("TensorArrayReadV3", "read", ["array", one, "flow"])
    tensor = normalise(builder, tensor) if inside else tensor
    builder.node("TensorArrayWriteV3", "write", ["results", one, tensor, "switch:1"])
    builder.node("NextIteration", "next", ["write"])
    builder.node("Exit", "exit", ["switch"])
    count = builder.node("TensorArraySizeV3", "count", ["results", "exit"])
    indices = builder.node("Range", "indices", [one, count, one])
    tensor = builder.node("TensorArrayGatherV3", "gather", ["results", indices, "exit"])
    return tensor if inside else normalise(builder, tensor)


@pytest.mark.parametrize("inside", [False, True])
def test_a_normalisation_in_a_loop_is_found(inside: bool) -> None:
    builder = builder_of()
    assert_normalised(follow(builder, loop(builder, inside=inside)))


@pytest.mark.parametrize("alike", [False, True])
def test_both_ways_through_a_condition_change_values_alike(alike: bool) -> None:
    builder = builder_of()
    builder.node("Switch", "switch", ["bytes", builder.const("flag", np.array(True))])
    first = normalise(builder, "switch", "a/")
    second = normalise(builder, "switch:1", "b/") if alike else "switch:1"
    tensor = builder.node("Merge", "merge", [first, second])
    if alike:
        assert_normalised(follow(builder, tensor))
        return
    with pytest.raises(UserError, match="in two ways that change its values differently"):
        follow(builder, tensor)


@pytest.mark.parametrize("side", [1, 2])
def test_a_constant_margin_is_refused(side: int) -> None:
    builder = builder_of()
    margins = np.zeros((4, 2), np.int32)
    margins[side] = 1
    pads = integers(builder, "pads", margins)
    tensor = builder.node("Pad", "pad", [normalise(builder, "bytes"), pads])
    with pytest.raises(UserError, match="pad pads every picture by the same margin"):
        follow(builder, tensor)


@pytest.mark.parametrize(
    ("fill", "fits"), [(8.0, True), ([8, 8, 8], True), (0.0, False), ([8, 8, 7], False)]
)
def test_pictures_are_padded_with_the_mean_alone(fill: Any, fits: bool) -> None:
    builder = builder_of()
    value = builder.const("value", np.array(fill, np.float32))
    pads = builder.node("Shape", "pads", ["bytes"])
    tensor = builder.node("PadV2", "pad", ["bytes", pads, value])
    if fits:
        assert [node.op for node in follow(builder, normalise(builder, tensor)).sizing] == [
            "pad_v2"
        ]
        return
    with pytest.raises(UserError, match="pad pads pictures with another value than the"):
        follow(builder, normalise(builder, tensor))


def test_a_padding_with_zeros_before_the_normalisation_is_refused() -> None:
    builder = builder_of()
    pads = builder.node("Shape", "pads", ["bytes"])
    tensor = normalise(builder, builder.node("Pad", "pad", ["bytes", pads]))
    with pytest.raises(UserError, match="pad pads pictures with another value than the"):
        follow(builder, tensor)


@pytest.mark.parametrize("op", ["Mul", "RealDiv"])
def test_a_factor_of_zero_is_refused(op: str) -> None:
    builder = builder_of()
    tensor = builder.node(op, "gone", ["bytes", builder.const("zero", np.float32(0))])
    with pytest.raises(UserError, match="gone makes nothing of pictures"):
        follow(builder, tensor)


def test_a_constant_per_row_is_refused() -> None:
    builder = builder_of()
    rows = builder.const("rows", np.ones((3, 1, 1), np.float32))
    with pytest.raises(UserError, match="other than a constant per channel"):
        follow(builder, builder.node("Mul", "weighted", ["bytes", rows]))


def test_pictures_that_are_not_fed_are_refused() -> None:
    builder = GraphBuilder()
    builder.node("IteratorGetNext", "next", [])
    with pytest.raises(UserError, match="0 of the file's inputs lead to the first convolution"):
        follow(builder, "next")
