"""What must hold of every backbone, whichever it is."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mnv2_dense.backbone.backbone import Backbone


def check_maps(
    backbone: Backbone, maps: dict[str, Tensor], taps: Sequence[str], size: tuple[int, int]
) -> None:
    """The maps of one image of `size` are those asked for, and as their specs say."""
    assert list(maps) == list(taps) == [spec.name for spec in backbone.specs]
    for spec in backbone.specs:
        cells = [math.ceil(side / spec.stride) for side in size]
        assert maps[spec.name].shape == (1, spec.channels, *cells), spec


def check_denser(plain: Backbone, dense: Backbone, images: Tensor) -> None:
    """Every second (fourth) cell of the dense map is a cell of the plain one, borders included.

    Both have one tap; the plain network's norms have momentum 1.
    """
    plain(images)  # running statistics, so that the signal survives to the end
    dense.load_state_dict(plain.eval().state_dict())
    (tap,) = plain.specs
    step = tap.stride // dense.specs[0].stride
    assert step > 1
    coarse, fine = plain(images)[tap.name], dense.eval()(images)[tap.name]
    assert coarse.std() > 0.1
    torch.testing.assert_close(fine[..., ::step, ::step], coarse, rtol=1e-4, atol=1e-4)
