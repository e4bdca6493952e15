from typing import Any

import numpy as np
import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.importing.constants import Constant
from mnv2_dense.importing.graph import Node
from mnv2_dense.importing.layers import Layer, make_layer


def make(op: str, layout: str, weight: np.ndarray, **attributes: Any) -> Layer:
    node = Node(op, "layer", ("x", "w"), ("layer",), {"layout": layout, **attributes})
    return make_layer(node, {1: Constant(weight, frozenset(["w"]))}, "here.pb")


@pytest.mark.parametrize(
    ("op", "layout", "order"),
    [
        ("conv2d", "HWIO", (2, 3, 1, 0)),
        ("conv2d", "OHWI", (0, 2, 3, 1)),
    ],
)
def test_layouts_of_convolutions(op: str, layout: str, order: tuple[int, ...]) -> None:
    ours = np.random.default_rng(0).random((5, 4, 3, 3)).astype(np.float32)
    layer = make(op, layout, ours.transpose(order), padding="same", strides=(2, 2))
    np.testing.assert_array_equal(layer.weight, ours)
    assert (layer.channels, layer.kernel, layer.stride, layer.depthwise) == (5, 3, 2, False)


@pytest.mark.parametrize(("layout", "order"), [("HWCM", (2, 3, 0, 1)), ("1HWC", (1, 2, 3, 0))])
def test_layouts_of_depthwise_layers(layout: str, order: tuple[int, ...]) -> None:
    ours = np.random.default_rng(0).random((5, 1, 3, 3)).astype(np.float32)
    layer = make("depthwise_conv2d", layout, ours.transpose(order))
    np.testing.assert_array_equal(layer.weight, ours)
    assert layer.depthwise
    assert layer.padding == "valid"


@pytest.mark.parametrize(("layout", "order"), [("IO", (1, 0)), ("OI", (0, 1))])
def test_layouts_of_dense_layers(layout: str, order: tuple[int, ...]) -> None:
    ours = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    layer = make("dense", layout, ours.transpose(order))
    np.testing.assert_array_equal(layer.weight[:, :, 0, 0], ours)


def test_a_third_input_is_the_bias() -> None:
    node = Node("conv2d", "layer", ("x", "w", "b"), ("layer",), {"layout": "OHWI"})
    weight, bias = np.ones((2, 1, 1, 3), np.float32), np.array([1, 2], np.float32)
    names = {1: Constant(weight, frozenset("w")), 2: Constant(bias, frozenset("b"))}
    layer = make_layer(node, names, "here.pb")
    np.testing.assert_array_equal(layer.offset, bias)
    assert layer.constants == {"w", "b"}


@pytest.mark.parametrize(
    ("op", "layout", "shape", "attributes", "words"),
    [
        ("conv2d", "HWIO", (3, 1, 4, 4), {}, "layer is not square"),
        ("conv2d", "HWIO", (3, 3, 4, 4), {"strides": (1, 2)}, "layer is not square"),
        ("conv2d", "HWIO", (3, 3, 4, 4), {"dilations": (1, 2)}, "layer is not square"),
        ("conv2d", "HWIO", (3, 3, 4), {}, "w is 3x3x4, but conv2d needs HWIO"),
        ("depthwise_conv2d", "HWCM", (3, 3, 4, 2), {}, "several maps of a channel"),
    ],
)
def test_other_forms_are_refused(
    op: str, layout: str, shape: tuple[int, ...], attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=f"^here.pb: .*{words}"):
        make(op, layout, np.ones(shape, np.float32), **attributes)


def test_weights_must_be_constant() -> None:
    node = Node("conv2d", "layer", ("x", "w"), ("layer",), {"layout": "HWIO"})
    with pytest.raises(UserError, match=r"layer has no constant weights \(it reads w\)"):
        make_layer(node, {}, "here.pb")


@pytest.mark.parametrize("bias", [np.ones(3, np.float32), np.array([b"a", b"b"], object)])
def test_a_bias_that_does_not_fit_is_named(bias: np.ndarray) -> None:
    node = Node("conv2d", "layer", ("x", "w", "b"), ("layer",), {"layout": "OHWI"})
    weight = np.ones((2, 1, 1, 3), np.float32)
    names = {1: Constant(weight, frozenset("w")), 2: Constant(bias, frozenset("b"))}
    with pytest.raises(UserError, match=r"b \(\d\) does not fit the 2 channels of layer"):
        make_layer(node, names, "here.pb")


@pytest.mark.parametrize(
    "weight", [np.ones((0, 1, 1, 3), np.float32), np.full((2, 1, 1, 3), b"text", object)]
)
def test_weights_that_are_none(weight: np.ndarray) -> None:
    node = Node("conv2d", "layer", ("x", "w"), ("layer",), {"layout": "OHWI"})
    with pytest.raises(UserError, match="conv2d needs OHWI of numbers"):
        make_layer(node, {1: Constant(weight, frozenset("w"))}, "here.pb")
