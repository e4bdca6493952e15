import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnv2_dense.ops.labels import places_of
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.segmentation.strips import CellStrip, LogitStrip, PixelStrip, Strip, assemble
from mnv2_dense.structures import IGNORE_INDEX, ImageSize

SIZE = ImageSize(30, 41)
CELLS = (21, 5, 7)


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits in cells, and a reference with void."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randint(0, 21, SIZE, generator=generator, dtype=torch.uint8)
    reference[:, ::5] = IGNORE_INDEX
    return 4 * torch.randn(CELLS, generator=generator), reference


def strips_of(logits: torch.Tensor) -> dict[str, Strip]:
    """The same picture, known in three ways; as probabilities in cells it is another."""
    rows, columns = (
        places_of(np.arange(float(side)), side, cells, True)
        for side, cells in zip(SIZE, CELLS[1:], strict=True)
    )
    probabilities = resize_map(logits[None], SIZE, align_corners=True)[0].softmax(0)
    return {
        "pixels": PixelStrip(0, 0, 0, probabilities),
        "logits": LogitStrip(0, 0, 0, logits, rows, columns),
        "cells": CellStrip(0, 0, 0, logits.softmax(0), rows, columns),
    }


def expected_probabilities(kind: str, logits: torch.Tensor) -> torch.Tensor:
    if kind == "cells":
        return resize_map(logits.softmax(0)[None], SIZE, align_corners=True)[0]
    return resize_map(logits[None], SIZE, align_corners=True)[0].softmax(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["pixels", "logits", "cells"])
def test_probabilities_labels_and_likelihood_are_those_of_every_pixel(
    kind: str, dtype: torch.dtype
) -> None:
    logits, reference = drawn(0)
    logits = logits.to(dtype).float() if kind == "cells" else logits.to(dtype)
    strip, expected = strips_of(logits)[kind], expected_probabilities(kind, logits)
    assert strip.size == SIZE
    torch.testing.assert_close(strip.probabilities(), expected, rtol=1e-4, atol=1e-6)
    labels = strip.labels()
    assert labels.dtype == torch.uint8
    assert (labels == expected.argmax(0)).float().mean() >= 0.999
    cost = F.nll_loss(
        expected.double().log()[None],
        reference.long()[None],
        ignore_index=IGNORE_INDEX,
        reduction="sum",
    )
    assert float(strip.negative_log_likelihood(reference)) == pytest.approx(float(cost), rel=1e-5)


@pytest.mark.parametrize("kind", ["pixels", "logits", "cells"])
def test_void_alone_costs_nothing_and_impossible_pixels_no_infinity(kind: str) -> None:
    logits, reference = drawn(1)
    strip = strips_of(1e6 * logits)[kind]
    void = torch.full_like(reference, IGNORE_INDEX)
    assert strip.negative_log_likelihood(void) == 0
    worst = -math.log(torch.finfo(torch.float32).tiny)
    wrong = (strip.labels() + 1) % 21
    cost = float(strip.negative_log_likelihood(wrong)) / wrong.numel()
    assert 0.5 * worst < cost <= worst * 1.00001


def test_sure_and_right_pixels_cost_what_little_they_do() -> None:
    """One in a million is not rounded away, as it would be between two logits of a thousand."""
    gap = math.log(1e6)
    logits = torch.tensor([1000.0, 1000.0 - gap]).reshape(2, 1, 1).expand(2, *CELLS[1:])
    strip = strips_of(logits)["logits"]
    right = torch.zeros(SIZE, dtype=torch.uint8)
    each = float(strip.negative_log_likelihood(right)) / right.numel()
    assert each == pytest.approx(1e-6, rel=0.1)


def test_nothing_is_changed_and_a_strip_can_be_asked_again() -> None:
    logits, reference = drawn(2)
    before = logits.clone()
    for strip in strips_of(logits).values():
        first = strip.negative_log_likelihood(reference), strip.labels(), strip.probabilities()
        second = strip.negative_log_likelihood(reference), strip.labels(), strip.probabilities()
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert torch.equal(logits, before)


def test_elsewhere_than_on_a_cpu_labels_come_from_everything_interpolated() -> None:
    """On the device that computes nothing but shapes."""
    logits, reference = drawn(3)
    strip = strips_of(logits)["logits"]
    assert isinstance(strip, LogitStrip)
    meta = LogitStrip(0, 0, 0, logits.to("meta"), strip.rows, strip.columns)
    assert (meta.labels().shape, meta.labels().dtype) == (SIZE, torch.uint8)
    assert meta.negative_log_likelihood(reference.to("meta")).shape == ()


def test_label_maps_are_assembled_from_strips() -> None:
    first = torch.tensor([[[0.2, 0.9]], [[0.8, 0.1]]])  # classes 1, 0
    second = torch.tensor([[[0.4, 0.4]], [[0.6, 0.6]]])  # classes 1, 1
    other = torch.tensor([[[1.0], [0.3]], [[0.0], [0.7]]])  # classes 0 over 1
    strips = [PixelStrip(1, 0, 1, other), PixelStrip(0, 0, 0, first), PixelStrip(0, 1, 0, second)]
    strips.append(PixelStrip(1, 0, 0, other.flip(1)))
    label_maps = assemble(strips, [ImageSize(2, 2), ImageSize(2, 2)])
    assert [label_map.tolist() for label_map in label_maps] == [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]
    assert {label_map.dtype for label_map in label_maps} == {torch.uint8}
