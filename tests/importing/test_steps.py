import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graphdef import graph_from_message
from mnv2_dense.importing.layers import Layer
from mnv2_dense.importing.steps import Operation, Steps, sources, tensors
from mnv2_dense.importing.walk import Walk
from tests.importing.graph_builder import GraphBuilder
from tests.importing.random_networks import randomise

CHANNELS = 3
"""Of the picture and of every map, so that shortcuts fit."""


def builder_of() -> GraphBuilder:
    builder = GraphBuilder()
    builder.placeholder("x", "float32", [1, 9, 9, CHANNELS])
    return builder


def conv(builder: GraphBuilder, name: str, data: str, op: str = "Conv2D", **changes: Any) -> str:
    """A 3x3 layer whose weights are all one."""
    channels = 1 if op.startswith("Depthwise") else CHANNELS
    kernel = builder.const(f"{name}/weights", np.ones((3, 3, CHANNELS, channels), np.float32))
    options = {"strides": [1, 1, 1, 1], "padding": "SAME", **changes}
    return builder.node(op, name, [data, kernel], **options)


def const(builder: GraphBuilder, name: str, *values: float) -> str:
    return builder.const(name, np.array(values, np.float32))


def steps_of(builder: GraphBuilder) -> Steps:
    return Steps(graph_from_message(builder.message, "here.pb"))


def layers_of(builder: GraphBuilder) -> list[Layer]:
    return [step for step in steps_of(builder).items if isinstance(step, Layer)]


def refusal(builder: GraphBuilder) -> str:
    with pytest.raises(UserError) as caught:
        steps_of(builder)
    assert str(caught.value).startswith("here.pb: ")
    return str(caught.value)


# One layer


def test_a_bare_layer() -> None:
    builder = builder_of()
    conv(builder, "a", "x", strides=[1, 2, 2, 1])
    (layer,) = layers_of(builder)
    assert (layer.kernel, layer.stride, layer.dilation, layer.padding) == (3, 2, 1, "same")
    assert (layer.source, layer.depthwise, layer.activation, layer.added) == (0, False, None, ())
    assert (layer.factor, layer.offset, layer.norm) == (None, None, None)
    assert layer.constants == {"a/weights"}
    assert layer.tensors == ["a"]


def test_biases_and_factors_add_up() -> None:
    builder = builder_of()
    data = builder.node("BiasAdd", "b", [conv(builder, "a", "x"), const(builder, "b0", 1, 2, 3)])
    data = builder.node("Mul", "m", [const(builder, "m0", 2), data])
    data = builder.node("Sub", "s", [data, const(builder, "s0", 1, 1, 1)])
    builder.node("Relu6", "r", [data])
    (layer,) = layers_of(builder)
    np.testing.assert_array_equal(layer.factor, [2, 2, 2])
    np.testing.assert_array_equal(layer.offset, [1, 3, 5])
    assert layer.activation == "relu6"
    assert layer.constants == {"a/weights", "b0", "m0", "s0"}
    assert layer.tensors == ["a", "b", "m", "s", "r"]


def norm_of(builder: GraphBuilder, data: str, norm: nn.BatchNorm2d) -> str:
    parameters = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    names = [
        builder.const(f"norm/{name}", tensor.detach().numpy())
        for name, tensor in zip("gbmv", parameters, strict=True)
        if tensor is not None
    ]
    options = {"is_training": False, "epsilon": norm.eps}
    return builder.node("FusedBatchNorm", "norm", [data, *names], **options)


def folded(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    assert layer.factor is not None
    assert layer.offset is not None
    return layer.factor, layer.offset


def expected(norm: nn.BatchNorm2d, factor: float, offset: float) -> Any:
    """What a norm makes of factor * x + offset: its own factor and offset."""
    with torch.no_grad():
        shifted = norm(torch.full((1, CHANNELS, 1, 1), offset)).flatten()
        one = norm(torch.full((1, CHANNELS, 1, 1), offset + factor)).flatten()
    return (one - shifted).numpy(), shifted.numpy()


def test_a_fused_norm_is_kept() -> None:
    builder, norm = builder_of(), randomise(nn.BatchNorm2d(CHANNELS, eps=0.001))
    norm_of(builder, conv(builder, "a", "x"), norm)
    (layer,) = layers_of(builder)
    assert layer.norm is not None
    np.testing.assert_array_equal(layer.norm.gamma, norm.weight.detach())
    assert layer.norm.epsilon == 0.001
    assert (layer.factor, layer.offset) == (None, None)


def test_a_norm_behind_a_bias_is_folded() -> None:
    builder, norm = builder_of(), randomise(nn.BatchNorm2d(CHANNELS))
    data = builder.node("BiasAdd", "b", [conv(builder, "a", "x"), const(builder, "b0", 2, 2, 2)])
    norm_of(builder, data, norm)
    (layer,) = layers_of(builder)
    assert layer.norm is None
    for found, wanted in zip(folded(layer), expected(norm, 1.0, 2.0), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_factor_behind_a_norm_is_folded_with_it() -> None:
    builder, norm = builder_of(), randomise(nn.BatchNorm2d(CHANNELS))
    data = norm_of(builder, conv(builder, "a", "x"), norm)
    data = builder.node("Mul", "m", [data, const(builder, "m0", 2)])
    builder.node("Add", "p", [data, const(builder, "p0", 1)])
    (layer,) = layers_of(builder)
    assert layer.norm is None
    factor, offset = expected(norm, 1.0, 0.0)
    for found, wanted in zip(folded(layer), (2 * factor, 2 * offset + 1), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def unfused(builder: GraphBuilder, data: str, *, gamma: bool, bias_between: bool = False) -> str:
    """`tf.nn.batch_normalization`, with the constants 1 to 12 as in the tests of constants."""
    values = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    for name, value in zip("gbmv", values, strict=True):
        builder.const(name, value)
    root = builder.node("Add", "sum", ["v", builder.const("e", np.float32(0.001))])
    factor = builder.node("Rsqrt", "root", [root])
    if gamma:
        factor = builder.node("Mul", "factor", [factor, "g"])
    scaled = builder.node("Mul", "scaled", [data, factor])
    if bias_between:
        scaled = builder.node("Add", "between", [scaled, const(builder, "p0", 5)])
    shift = builder.node("Mul", "shift", ["m", factor])
    offset = builder.node("Sub", "offset", ["b", shift])
    return builder.node("Add", "normed", [offset, scaled])


@pytest.mark.parametrize("gamma", [False, True])
def test_an_unfused_norm_is_kept(gamma: bool) -> None:
    builder = builder_of()
    builder.node("Relu6", "r", [unfused(builder, conv(builder, "a", "x"), gamma=gamma)])
    if not gamma:
        builder.node("Shape", "shape", ["g"])
    (layer,) = layers_of(builder)
    assert layer.norm is not None
    np.testing.assert_array_equal(layer.norm.gamma, [1, 2, 3] if gamma else [1, 1, 1])
    np.testing.assert_array_equal(layer.norm.beta, [4, 5, 6])
    np.testing.assert_array_equal(layer.norm.mean, [7, 8, 9])
    np.testing.assert_array_equal(layer.norm.variance, [10, 11, 12])
    assert layer.constants == {"a/weights", *("gbmve" if gamma else "bmve")}
    assert layer.activation == "relu6"


def test_an_unfused_norm_with_something_between_is_folded() -> None:
    builder = builder_of()
    unfused(builder, conv(builder, "a", "x"), gamma=True, bias_between=True)
    (layer,) = layers_of(builder)
    assert layer.norm is None
    factor = np.array([1, 2, 3]) / np.sqrt(np.array([10, 11, 12]) + 0.001)
    found = folded(layer)
    np.testing.assert_allclose(found[0], factor, rtol=1e-6)
    np.testing.assert_allclose(found[1], np.array([4, 5, 6]) - [7, 8, 9] * factor + 5, rtol=1e-5)


# Shortcuts


@pytest.mark.parametrize("form", ["after", "before", "AddN"])
def test_a_shortcut_may_come_before_or_after_the_bias(form: str) -> None:
    builder = builder_of()
    first = conv(builder, "a", "x")
    second, bias = conv(builder, "b", first), const(builder, "b0", 1, 2, 3)
    if form == "AddN":
        made = builder.node("AddN", "sum", [second, bias, first])
    else:
        inner = [second, bias if form == "after" else first]
        made = builder.node("Add", "inner", inner)
        made = builder.node("Add", "outer", [first if form == "after" else bias, made])
    conv(builder, "c", made)
    one, two, three = layers_of(builder)
    assert (one.added, two.added, three.added) == ((), (1,), ())
    assert (two.source, three.source) == (1, 2)
    np.testing.assert_array_equal(two.offset, [1, 2, 3])


def test_a_factor_behind_a_shortcut_is_no_part_of_the_layer() -> None:
    builder = builder_of()
    first = conv(builder, "a", "x")
    both = builder.node("Add", "both", [conv(builder, "b", first), first])
    builder.node("Mul", "m", [both, const(builder, "m0", 2)])
    last = steps_of(builder).items[-1]
    assert isinstance(last, Operation)
    assert (last.node.name, last.sources) == ("m", (2,))


def test_two_different_sums_of_a_layer_are_refused() -> None:
    builder = builder_of()
    first = conv(builder, "a", "x")
    second = conv(builder, "b", first)
    builder.node("Add", "s1", [second, first])
    builder.node("Add", "s2", [second, first])
    assert "s2 reads a layer before" in refusal(builder)


@pytest.mark.parametrize("reader", ["Sigmoid", "Relu"])
def test_a_layer_that_is_read_before_its_norm_is_refused(reader: str) -> None:
    builder, norm = builder_of(), nn.BatchNorm2d(CHANNELS)
    data = conv(builder, "a", "x")
    normed = norm_of(builder, data, norm)
    builder.node(reader, "other", [builder.node("Identity", "late", [data])])
    conv(builder, "b", normed)
    assert "late reads a layer before its activation" in refusal(builder)


def test_a_layer_that_is_read_before_its_activation_is_refused() -> None:
    builder = builder_of()
    data = conv(builder, "a", "x")
    builder.node("Relu6", "r", [data])
    builder.node("Identity", "i", ["r"])
    conv(builder, "b", "i")
    assert len(layers_of(builder)) == 2
    conv(builder, "c", builder.node("Identity", "late", [data]))
    assert "reads a layer before its activation" in refusal(builder)


def test_an_activation_behind_another_reader_is_no_part_of_the_layer() -> None:
    builder = builder_of()
    data = conv(builder, "a", "x")
    builder.node("Sigmoid", "s", [data])
    builder.node("Relu6", "r", [builder.node("Identity", "i", [data])])
    (layer,) = layers_of(builder)
    assert layer.activation is None


# Other steps


def dilated(
    block: Sequence[int] | None,
    pad: Sequence[int] = (2, 3),
    joined: Sequence[int] | None = None,
    **changes: Any,
) -> GraphBuilder:
    """A layer between SpaceToBatchND and BatchToSpaceND, whose block is `joined` if given."""
    builder = builder_of()
    data = conv(builder, "stem", "x")
    pads = builder.const("pads", np.array([pad] * 2, np.int32))
    crops = builder.const("crops", np.array([[0, 1]] * 2, np.int32))
    size = builder.node("Shape", "shape", [data])
    given = size if block is None else builder.const("block", np.array(block, np.int32))
    split = builder.node("SpaceToBatchND", "split", [data, given, pads])
    made = conv(builder, "a", split, **{"padding": "VALID", **changes})
    other = given if joined is None else builder.const("other", np.array(joined, np.int32))
    builder.node("Relu6", "r", [builder.node("BatchToSpaceND", "joined", [made, other, crops])])
    return builder


def test_dilation_may_be_written_with_batches() -> None:
    _, layer = layers_of(dilated([2, 2]))
    assert (layer.dilation, layer.padding, layer.activation) == (2, "same", "relu6")
    assert layer.tensors == ["a", "joined", "r"]


@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (2, 1), (3, 2)])
def test_maps_are_padded_as_the_dilation_needs(pad: tuple[int, int]) -> None:
    assert "split pads by" in refusal(dilated([2, 2], pad))


@pytest.mark.parametrize("joined", [[3, 3], [1, 1], [2, 3]])
def test_batches_are_joined_as_they_were_split(joined: list[int]) -> None:
    assert "joined" in refusal(dilated([2, 2], joined=joined))


@pytest.mark.parametrize("op", ["Conv2D", "Sigmoid"])
def test_batches_are_joined_before_anything_else(op: str) -> None:
    builder = dilated([2, 2])
    joined = next(node for node in builder.message.node if node.name == "joined")
    builder.message.node.remove(joined)
    relu = next(node for node in builder.message.node if node.name == "r")
    relu.input[0] = "a"
    if op == "Conv2D":
        conv(builder, "late", "r")
    else:
        builder.node(op, "late", ["r"])
    assert "late reads what SpaceToBatchND has split" in refusal(builder)


def test_an_activation_may_stand_before_batches_are_joined() -> None:
    builder = dilated([2, 2])
    joined = next(node for node in builder.message.node if node.name == "joined")
    last = next(node for node in builder.message.node if node.name == "r")
    last.input[0], joined.input[0] = "a", "r"
    conv(builder, "after", "joined")
    assert [layer.dilation for layer in layers_of(builder)] == [1, 2, 1]


def test_a_shortcut_to_split_batches_is_refused() -> None:
    builder = dilated([2, 2])
    joined = next(node for node in builder.message.node if node.name == "joined")
    joined.input[0] = builder.node("Add", "sum", ["a", "stem"])
    assert "sum reads what SpaceToBatchND has split" in refusal(builder)


@pytest.mark.parametrize("block", [None, [2, 3], [2], [0, 0]])
def test_blocks_that_are_no_dilation_are_refused(block: list[int] | None) -> None:
    assert "split has no constant, square block" in refusal(dilated(block))


@pytest.mark.parametrize(
    "changes", [{"padding": "SAME"}, {"strides": [1, 2, 2, 1]}, {"dilations": [1, 2, 2, 1]}]
)
def test_layers_of_batches_do_nothing_else(changes: dict[str, Any]) -> None:
    assert "a stands behind SpaceToBatchND" in refusal(dilated([2, 2], **changes))


def test_operations_and_their_readers() -> None:
    builder = builder_of()
    first = conv(builder, "a", "x")
    axis = builder.const("axis", np.int32(3))
    builder.node("ConcatV2", "joined", [first, conv(builder, "b", first), axis], N=2)
    builder.node("Shape", "shape", ["joined"])
    steps = steps_of(builder)
    assert [[*tensors(step)][-1] for step in steps.items] == ["x", "a", "b", "joined"]
    assert sources(steps.items[3]) == (1, 2)
    assert steps.readers(1) == [2, 3]
    assert steps.stem_input == "x"


def test_a_constant_that_does_not_fit_is_named() -> None:
    builder = builder_of()
    builder.node("Add", "s", [conv(builder, "a", "x"), const(builder, "b0", 1, 2)])
    assert "b0 (2) does not fit the 3 channels of a" in refusal(builder)


def test_a_map_of_as_many_values_as_channels_is_no_bias() -> None:
    builder = builder_of()
    square = builder.const("b0", np.ones((3, 1, 1), np.float32))
    builder.node("Add", "s", [conv(builder, "a", "x"), square])
    assert "b0 (3x1x1) does not fit" in refusal(builder)


def test_what_constants_make_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnv2_dense.importing.steps._MAX_FOLDED", 10)
    monkeypatch.setattr("mnv2_dense.importing.steps._NAME_WEIGHT", 0)
    builder = builder_of()
    conv(builder, "a", "x")
    value = const(builder, "c", 1, 2, 3, 4)
    for index in range(9):
        value = builder.node("Add", f"n{index}", [value, "c"])
    steps = steps_of(builder)
    assert [name for name in steps.constants if name[0] == "n"] == ["n0", "n1", "n2"]


def test_names_that_a_value_comes_from_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long chain would list all names before it again at every step."""
    monkeypatch.setattr("mnv2_dense.importing.steps._MAX_FOLDED", 16 * 6)
    builder = builder_of()
    conv(builder, "a", "x")
    value = const(builder, "c", 1)
    for index in range(9):
        value = builder.node("Add", f"n{index}", [value, const(builder, f"c{index}", 1)])
    steps = steps_of(builder)
    assert [name for name in steps.constants if name[0] == "n"] == ["n0", "n1", "n2"]


def test_texts_are_not_computed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty additions of a text to itself are a terabyte."""
    builder = builder_of()
    conv(builder, "a", "x")
    value = builder.const("text", np.array([b"text"], object))
    for index in range(40):
        value = builder.node("Add", f"n{index}", [value, value])
    assert "n0" not in steps_of(builder).constants


def test_endless_additions_to_a_layer_are_refused() -> None:
    builder = builder_of()
    shortcut = builder.node("Relu6", "r", [conv(builder, "b", "x")])
    value = conv(builder, "a", "x")
    for index in range(40):
        value = builder.node("Add", f"n{index}", [value, shortcut])
    assert "adds more than 16 maps" in refusal(builder)


def test_long_chains_take_no_long_time() -> None:
    builder = builder_of()
    value, one = conv(builder, "a", "x"), const(builder, "one", 1)
    for index in range(4000):
        value = builder.node("Mul", f"m{index}", [value, one])
    for index in range(4000):
        value = builder.node("Reshape", f"r{index}", [value])
    started = time.perf_counter()
    steps = steps_of(builder)
    assert Walk(steps).operations_behind(1)[:2] == []
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    ("block", "pads", "words"),
    [
        (np.array([2.0, 2.0], np.float32), [[2, 2], [2, 2]], "no constant, square block"),
        (np.array([b"2", b"2"], object), [[2, 2], [2, 2]], "no constant, square block"),
        (np.array([2, 2], np.int32), [2, 2, 2], "pads by"),
        (np.array([2, 2], np.int32), [[2, 2], [2, 2], [2, 2]], "pads by"),
    ],
)
def test_odd_blocks_and_paddings(block: np.ndarray, pads: Any, words: str) -> None:
    builder = builder_of()
    names = [builder.const("block", block), builder.const("pads", np.array(pads, np.int32))]
    first = builder.node("Relu6", "first", [conv(builder, "a", "x")])
    conv(builder, "b", builder.node("SpaceToBatchND", "split", [first, *names]))
    assert words in refusal(builder)


@pytest.mark.parametrize("op", ["Add", "Mul"])
def test_texts_for_channels_are_refused(op: str) -> None:
    builder = builder_of()
    text = builder.const("text", np.array([b"a", b"b", b"c"], object))
    builder.node(op, "s", [conv(builder, "a", "x"), text])
    assert "text (3) does not fit" in refusal(builder)
