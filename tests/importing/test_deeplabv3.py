import functools
from typing import Any

import numpy as np
import pytest

from mnv2_dense.structures import ImageSize
from tests.importing.graph_builder import new_message
from tests.importing.networks import deeplab_graph
from tests.importing.random_networks import (
    assert_same_states,
    import_message,
    refusal,
    segmenter,
)
from tests.importing.release_forms import (
    crop_result,
    edit,
    find,
    insert,
    pad_pictures,
    remove,
    resize_twice,
)

SIZE = ImageSize(129, 129)


@functools.cache
def network(aspp: str = "none") -> Any:
    return segmenter(21, {"width_mult": 0.35}, channels=16, aspp=aspp)


@functools.cache
def _bytes(aspp: str) -> bytes:
    graph = deeplab_graph(network(aspp), SIZE, dilated="space_to_batch")
    return graph.SerializeToString()


def message_of(aspp: str = "none") -> Any:
    message = new_message()
    message.ParseFromString(_bytes(aspp))
    return message


def sides(message: Any) -> tuple[Any, Any]:
    given = import_message(message).settings["input"]
    return given["height"], given["width"]


def test_a_release_as_it_was_exported() -> None:
    message = message_of()
    pad_pictures(message, 129)
    resize_twice(message, 9)
    crop_result(message)
    insert(message, "logits/semantic/Conv2D", 0, "Identity", "concat_projection_dropout/Identity")
    imported = import_message(message)
    assert_same_states(imported.state, network().state_dict())
    given = imported.settings["input"]
    # 9 cells are pooled.
    assert (given["height"], given["width"]) == SIZE
    assert given["mean"] == given["std"] == [127.5] * 3
    assert imported.settings["evaluation"] == {"large_pictures": "shrink"}
    assert imported.notes == ()


def test_a_resize_of_pictures_before_they_are_padded_says_nothing_of_the_input() -> None:
    message = message_of()
    pad_pictures(message, 129)
    size = edit(message).const("min_resize", np.array([77, 99], np.int32))
    insert(message, "ToFloat", 0, "ResizeBilinear", "resize_to_range", size)
    find(message, "resize_to_range").attr["align_corners"].b = True
    assert sides(message) == SIZE


def test_any_size_is_the_releases() -> None:
    message = message_of()
    resize_twice(message, 9)
    node = find(message, "image_pooling/AvgPool")
    node.op = "Mean"
    for name in ("ksize", "strides", "padding"):
        del node.attr[name]
    node.input.append(edit(message).const("axes", np.array([1, 2], np.int32)))
    imported = import_message(message)
    assert any("513 is assumed" in note for note in imported.notes)
    assert imported.settings["input"]["height"] == 513


def test_a_pooling_of_another_map_is_refused() -> None:
    message = message_of()
    find(message, "ImageTensor").attr["shape"].shape.dim[1].size = 161
    find(message, "ImageTensor").attr["shape"].shape.dim[2].size = 129
    assert "image_pooling/AvgPool pools 9x9 of 11x9 cells" in refusal(message)


@pytest.mark.parametrize("half_pixel", [False, True])
def test_the_rule_of_the_resizes_is_the_configs(half_pixel: bool) -> None:
    message = message_of()
    for name in ("ResizeBilinear", "ResizeBilinear_1"):
        find(message, name).attr["align_corners"].b = not half_pixel
        find(message, name).attr["half_pixel_centers"].b = half_pixel
    head = import_message(message).settings["head"]
    assert head["align_corners"] is not half_pixel


def test_resizes_of_two_rules_are_refused() -> None:
    message = message_of()
    find(message, "ResizeBilinear_1").attr["align_corners"].b = False
    assert "ResizeBilinear_1 resizes by a rule" in refusal(message)


def test_branches_of_two_kinds_are_refused() -> None:
    message = message_of("separable")
    for index in (2, 3):
        node = find(message, f"aspp{index}_pointwise/Conv2D")
        kernel = edit(message).const(f"dense{index}", np.zeros((3, 3, 112, 16), np.float32))
        node.input[0], node.input[1] = find(message, "aspp0/Conv2D").input[0], kernel
        for part in list(message.node):
            if part.name.startswith(f"aspp{index}_depthwise"):
                remove(message, part.name)
    assert "atrous branches of two kinds" in refusal(message)


def test_branches_of_another_map_are_refused() -> None:
    message = message_of("dense")
    before = find(message, "MobilenetV2/expanded_conv_16/expand/Conv2D").input[0]
    split = find(message, "aspp1/Conv2D").input[0]
    kernel = edit(message).const("other", np.zeros((3, 3, 56, 16), np.float32))
    node = find(message, "aspp1/Conv2D")
    if "SpaceToBatchND" in split:
        find(message, split).input[0] = before
    node.input[1] = kernel
    remove(message, "aspp1/weights/read")
    remove(message, "aspp1/weights")
    refusal(message)


def test_another_order_of_branches_is_refused() -> None:
    message = message_of()
    node = find(message, "concat")
    node.input[0], node.input[1] = node.input[1], node.input[0]
    assert "concat where branches are concatenated" in refusal(message)


def test_classes_of_other_data_are_numbered() -> None:
    graph = deeplab_graph(segmenter(3, {"width_mult": 0.35}, channels=8), ImageSize(65, 65))
    imported = import_message(graph)
    assert [each.name for each in imported.categories] == ["class 0", "class 1", "class 2"]
    assert sides(graph) == (65, 65)


def with_rate(stride: int, rate: int) -> Any:
    network = segmenter(
        21, {"width_mult": 0.35, "output_stride": stride}, channels=16, aspp="dense"
    )
    message = deeplab_graph(network, SIZE)
    find(message, "aspp1/Conv2D").attr["dilations"].list.i[:] = [1, rate, rate, 1]
    return message


def test_rates_are_those_of_stride_sixteen() -> None:
    assert import_message(with_rate(8, 6)).settings["head"]["atrous_rates"] == [3, 12, 18]
    assert import_message(with_rate(32, 5)).settings["head"]["atrous_rates"] == [10, 12, 18]


def test_rates_that_are_not_whole_at_stride_sixteen_are_refused() -> None:
    assert "atrous rates 5, 24, 36 at output stride 8" in refusal(with_rate(8, 5))


def test_branches_are_joined_by_channels() -> None:
    message = message_of()
    remove(message, "concat/axis")
    edit(message).const("concat/axis", np.int32(2))
    assert "concat joins branches along axis 2" in refusal(message)


@pytest.mark.parametrize("op", ["ResizeNearestNeighbor", "ResizeArea"])
def test_how_the_pooled_map_may_be_spread(op: str) -> None:
    message = message_of()
    find(message, "ResizeBilinear").op = op
    if op == "ResizeNearestNeighbor":
        assert import_message(message).settings["head"]["align_corners"] is True
    else:
        assert "ResizeBilinear (resize_area) where the pooled map is spread" in refusal(message)
