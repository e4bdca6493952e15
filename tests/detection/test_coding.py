import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from mnv2_dense.detection.coding import decode_boxes, encode_boxes

CENTER = st.floats(-1, 2)
SIDE = st.floats(1e-3, 3)
BOX = st.tuples(CENTER, CENTER, SIDE, SIDE)


def test_deltas_by_hand() -> None:
    """An anchor at (10, 20) of 4 x 8: the box is 2 right, 4 up, twice as wide, half as high."""
    anchor = torch.tensor([[10.0, 20.0, 4.0, 8.0]])
    box = torch.tensor([[12.0, 16.0, 8.0, 4.0]])
    expected = [[10 * 2 / 4, 10 * -4 / 8, 5 * math.log(2), 5 * math.log(0.5)]]
    torch.testing.assert_close(encode_boxes(box, anchor), torch.tensor(expected))
    torch.testing.assert_close(decode_boxes(torch.tensor(expected), anchor), box)


def test_zero_deltas_are_the_anchor() -> None:
    anchors = torch.rand(5, 4) + 0.1
    torch.testing.assert_close(decode_boxes(torch.zeros(2, 5, 4), anchors), anchors.expand(2, 5, 4))
    assert not encode_boxes(anchors, anchors).any()


@given(BOX, BOX)
def test_decoding_undoes_encoding(
    box: tuple[float, float, float, float], anchor: tuple[float, float, float, float]
) -> None:
    boxes, anchors = (torch.tensor([v], dtype=torch.float64) for v in (box, anchor))
    if (boxes[0, 2:] / anchors[0, 2:]).max() >= 1000:
        return  # bounded on purpose
    found = decode_boxes(encode_boxes(boxes, anchors), anchors)
    torch.testing.assert_close(found, boxes, rtol=1e-9, atol=1e-9)


@given(BOX, BOX, st.floats(0.01, 1000))
def test_deltas_do_not_depend_on_the_unit(
    box: tuple[float, float, float, float],
    anchor: tuple[float, float, float, float],
    unit: float,
) -> None:
    boxes, anchors = (torch.tensor([v], dtype=torch.float64) for v in (box, anchor))
    torch.testing.assert_close(
        encode_boxes(boxes * unit, anchors * unit), encode_boxes(boxes, anchors)
    )


def test_wild_deltas_stay_finite() -> None:
    anchors = torch.full((2, 4), 0.5)
    deltas = torch.tensor([[0.0, 0.0, 1e30, 1e30], [1e6, -1e6, -1e30, -1e30]])
    boxes = decode_boxes(deltas, anchors)
    assert boxes.isfinite().all()
    torch.testing.assert_close(boxes[0, 2:], torch.tensor([500.0, 500.0]))
    assert boxes[1, 2:].tolist() == [0, 0]
