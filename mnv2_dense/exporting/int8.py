"""Deployed networks written in 8 bits, quantised by pictures: post-training quantisation."""

import importlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.exporting.rounding import round_weights
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed


def quantize(
    format_name: str,
    deployed: Deployed,
    manifest: Manifest,
    path: Path,
    pictures: NDArray[np.uint8],
) -> None:
    """Writes a network in 8 bits, its decoding in float32.

    Args:
        format_name: One with 8 bits of `exporting.formats.FORMATS`.
        deployed: The network; it is not changed.
        manifest: Says that the precision is int8.
        path: Where it goes.
        pictures: What the ranges of activations and the biases are settled by: prepared as for
            prediction, [N, H, W, 3], some 100 of the kind that the network will see.

    Raises:
        UserError: The decoding is not to be had in the format.
    """
    # Each needs libraries of an extra of its own.
    form = importlib.import_module(f"mnv2_dense.exporting.int8_{format_name}")
    rounded = round_weights(deployed, pictures, form.levels)
    form.write(rounded, manifest, path, pictures)
