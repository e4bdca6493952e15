"""What a user is told of an exported file: how it compares with PyTorch, and why it is not kept."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.benchmarking.interleaving import measure
from mnv2_dense.exporting.verify import Verification
from mnv2_dense.prediction.engine import Engine
from mnv2_dense.prediction.manifest import Manifest

ROUNDS = 7
"""Timed calls of each engine, in turn; a benchmark takes more."""


def draw_table(
    name: str,
    size: int,
    verification: Verification,
    engines: tuple[Engine, Engine],
    picture: NDArray[np.uint8],
) -> str:
    """The table: what was written, and how it compares with PyTorch.

    Args:
        name: Of the format.
        size: Of all files, in bytes.
        verification: Of the file.
        engines: PyTorch, and that of the file.
        picture: That both are timed on, [1, H, W, 3].
    """
    reference, engine = engines
    calls = {each.name: partial(each.run, picture) for each in engines}
    first, own = (f"{1000 * each.median:.1f}" for each in measure(calls, ROUNDS).values())
    differences = [f"{what} {value:.1e}" for what, value in verification.differences.items()]
    rows = [
        ("format", "precision", "MB", "largest difference", f"equal {verification.unit}", "ms"),
        ("checkpoint", "float32", "", "", "", first),
        (
            name,
            engine.manifest.precision,
            f"{size / 1e6:.2f}",
            ", ".join(differences),
            f"{verification.equal:.3%} of {verification.counted}",
            own,
        ),
    ]
    lines = [*_align(rows), *_notes(verification, engine.manifest)]
    return "\n".join([*lines, f"ms: one picture in {engine.name} and {reference.name}"])


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _notes(verification: Verification, manifest: Manifest) -> list[str]:
    if not sees_little(verification, manifest):
        return []
    return [
        f"note: NOT VERIFIED: no box of a score that counts in {manifest.precision} in these "
        "pictures; measure the file with mnv2-dense evaluate, or give other --pictures"
    ]


def sees_little(verification: Verification, manifest: Manifest) -> bool:
    """Whether there is nothing to compare in 8 bits, where only sure boxes count."""
    return manifest.precision == "int8" and not verification.counted


def describe_mismatch(verification: Verification, path: Path) -> str:
    """Why a file is not kept."""
    if not verification.counted:
        return (
            f"{path} is not written: the network sees nothing in these pictures by which it could "
            "be verified; give others with --pictures, or a lower decode.score_threshold"
        )
    if verification.noise > verification.most_noise:
        return (
            f"{path} is not written: its class logits differ from those of PyTorch by "
            f"{verification.noise:.2g} of their deviation, and at most "
            f"{verification.most_noise:.2g} is allowed"
        )
    return (
        f"{path} is not written: only {verification.equal:.3%} of {verification.counted} "
        f"{verification.unit} are those of PyTorch, and {verification.least:.1%} are asked for"
    )
