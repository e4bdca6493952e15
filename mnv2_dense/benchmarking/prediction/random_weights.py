"""Random weights that keep a network as busy as trained ones would."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnv2_dense.errors import UserError

CANDIDATES = {0.01: 3000, 0.3: 100}
"""Scores of boxes at least as high, by score, that detectors are set to give for the picture.

The released SSDLite gives 0.056 per anchor of at least 0.3 on pictures of COCO (median of 60),
some 110 of our 2034 anchors. Of 0.01 softmax scores allow 99 per anchor; 3000 are three times what
enters our NMS, and more would change nothing.
"""
MIXED = 0.11
"""Share of the gaps between four cells whose corners segmenters are set to give several classes.

Only there pixels are interpolated. The released DeepLabv3 (`deeplabv3_mnv2_pascal_quant`) has it on
pictures of VOC (median of 60); random weights give anything from none to most of them.
"""
_SPREADS = np.linspace(1.0, 8.0, 29)
_STEPS = 30


class Fit(NamedTuple):
    """Logits are brought to a standard deviation `spread`, the background's raised by `offset`."""

    spread: float
    offset: float


def fit_norms(network: nn.Module, images: Tensor) -> None:
    """Sets the norms' statistics to those of a batch, so that values neither vanish nor grow."""
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(images)
    network.eval()
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum


def set_candidates(
    branches: Iterable[nn.Module], class_logits: Tensor, wanted: Mapping[float, int] = CANDIDATES
) -> None:
    """Changes the last layers of a head so that its softmax scores are as many as `wanted`.

    Args:
        branches: Of the class logits; the last convolution of each gives them, anchor by anchor,
            the background first.
        class_logits: That they give now, [1, A, slots].
        wanted: How many scores are at least as high as each of two.
    """
    values = class_logits[0].double().cpu().numpy()
    mean, deviation, slots = values.mean(), values.std(), values.shape[1]
    fit = fit_candidates((values - mean) / deviation, wanted)
    for branch in branches:
        last = [each for each in branch.modules() if isinstance(each, nn.Conv2d)][-1]
        assert last.bias is not None
        with torch.no_grad():
            last.weight.mul_(fit.spread / deviation)
            last.bias.sub_(mean).mul_(fit.spread / deviation)
            last.bias[::slots] += fit.offset


def set_mixture(classifier: nn.Conv2d, class_logits: Tensor, wanted: float = MIXED) -> None:
    """Changes the last layer of a segmenter so that it gives objects before a background.

    Args:
        classifier: Gives the class logits.
        class_logits: That it gives now, [1, C, h, w].
        wanted: Share of the gaps between cells that are to have corners of several classes.

    Raises:
        UserError: Nothing comes near: the picture gives the same everywhere.
    """
    means = class_logits[0].mean((1, 2))
    level = (class_logits[0] - means[:, None, None]).double().cpu().numpy()
    offset = _find_background(level, wanted)
    if not wanted / 2 <= _mixed_share(level, offset) <= 2 * wanted:
        raise UserError("random weights give no label map for this picture; give another one")
    assert classifier.bias is not None
    with torch.no_grad():
        classifier.bias -= means
        classifier.bias[0] += offset


def _find_background(level: NDArray[np.float64], wanted: float) -> float:
    """What raises class 0 until it is nearly everywhere."""
    low, high = 0.0, float(np.ptp(level))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _mixed_share(level, middle) > wanted:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda offset: abs(_mixed_share(level, offset) - wanted))


def _mixed_share(level: NDArray[np.float64], offset: float) -> float:
    raised = level.copy()
    raised[0] += offset
    best = raised.argmax(0)
    first = best[:-1, :-1]
    others = (best[:-1, 1:], best[1:, :-1], best[1:, 1:])
    return float(np.any([first != other for other in others], axis=0).mean())


def fit_candidates(standard: NDArray[np.float64], wanted: Mapping[float, int]) -> Fit:
    """What brings logits [A, slots] of deviation 1 nearest to the wanted counts.

    Raises:
        UserError: Nothing comes near: the picture gives the same everywhere.
    """
    (low, low_count), (high, high_count) = sorted(wanted.items())
    fits = [Fit(spread, _find_offset(standard, spread, low, low_count)) for spread in _SPREADS]
    best = min(fits, key=lambda fit: abs(np.log((_count(standard, fit, high) + 1) / high_count)))
    if not low_count / 2 < _count(standard, best, low) < 2 * low_count:
        raise UserError("random weights give no candidates for this picture; give another one")
    return best


def _find_offset(standard: NDArray[np.float64], spread: float, score: float, count: int) -> float:
    low, high = -30.0, 60.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _count(standard, Fit(spread, middle), score) > count:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _count(standard: NDArray[np.float64], fit: Fit, score: float) -> int:
    logits = standard * fit.spread
    logits[:, 0] += fit.offset
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return int((logits[:, 1:] >= score).sum())
