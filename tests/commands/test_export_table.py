from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from mnv2_dense.commands import export_table
from mnv2_dense.commands.export_table import describe_mismatch, draw_table, sees_little
from mnv2_dense.exporting.verify import Verification
from tests.prediction.networks import SIZE, Brightness, manifest

SAME = Verification({"scores": 1e-6, "boxes": 2e-5}, "boxes", 400, 0.995, 0.99)
NOTHING = replace(SAME, counted=0, equal=0.0)


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_table, "ROUNDS", 1)


def table(
    verification: Verification, precision: Literal["float32", "int8"] = "float32"
) -> list[str]:
    first, second = Brightness(), Brightness()
    second.manifest = replace(second.manifest, precision=precision)
    first.name = "the reference"
    picture = np.zeros((1, *SIZE, 3), np.uint8)
    lines = draw_table("onnx", 2_340_000, verification, (first, second), picture).splitlines()
    assert first.batches == second.batches != []
    return lines


def test_the_table_says_size_differences_share_and_times() -> None:
    header, checkpoint, file, times = table(SAME)
    assert header.split()[:3] == ["format", "precision", "MB"]
    assert checkpoint.split()[:2] == ["checkpoint", "float32"]
    words = "onnx float32 2.34 scores 1.0e-06, boxes 2.0e-05 99.500% of 400"
    assert " ".join(file.split()).startswith(words)
    assert header.index("equal boxes") == file.index("99.500%")
    assert times == "ms: one picture in by hand and the reference"
    for line in (checkpoint, file):
        assert float(line.split()[-1]) >= 0


def test_what_was_not_verified_is_said() -> None:
    assert table(NOTHING, "int8")[3].startswith("note: NOT VERIFIED: no box of a score that count")
    assert len(table(NOTHING)) == 4  # It is not kept, and an error says why.


def test_only_eight_bits_may_show_nothing() -> None:
    eight = replace(manifest(), precision="int8")
    assert sees_little(NOTHING, eight)
    assert not sees_little(SAME, eight)
    assert not sees_little(NOTHING, manifest())


@pytest.mark.parametrize(
    ("verification", "words"),
    [
        (NOTHING, "the network sees nothing in these pictures"),
        (replace(SAME, equal=0.5), "only 50.000% of 400 boxes are those of PyTorch, and 99.0% are"),
        (replace(SAME, noise=0.4, most_noise=0.3), "by 0.4 of their deviation, and at most 0.3 is"),
    ],
)
def test_why_a_file_is_not_kept(verification: Verification, words: str) -> None:
    message = describe_mismatch(verification, Path("a.onnx"))
    assert message.startswith("a.onnx is not written: ")
    assert words in message
