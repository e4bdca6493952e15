from typing import Any
from unittest.mock import patch

import pytest

from mnv2_dense.benchmarking.evaluation import boxes
from mnv2_dense.benchmarking.evaluation.box_programs import OURS, PROGRAMS, PYCOCOTOOLS
from mnv2_dense.benchmarking.evaluation.boxes import measure_boxes
from mnv2_dense.benchmarking.evaluation.random_boxes import Counts


def test_sections_have_ratios_beside_their_targets() -> None:
    programs = {name: PROGRAMS[name] for name in (OURS, PYCOCOTOOLS)}
    with patch.object(boxes, "installed", lambda: programs):
        memory, *timed = measure_boxes(2, Counts(10, 40, 200, 3))
    assert [ratio.target for ratio in memory.ratios] == [0.5, 0.5]
    assert all(0.02 < ratio.value < 5 for ratio in memory.ratios)
    assert "left out: faster-coco-eval, as it is not installed" in memory.notes
    assert [section.title.split(", ", 1)[1] for section in timed] == [
        *("from records in memory", "from records in memory, beside slow peers"),
        *("from JSON files", "from JSON files, beside slow peers"),
    ]
    for (alone, beside), target in ((timed[:2], 0.03), (timed[2:], None)):
        assert list(alone.timings) == [OURS]
        assert alone.ratios == []
        assert set(beside.timings) == {OURS, PYCOCOTOOLS}
        assert [ratio.target for ratio in beside.ratios] == [target]
        assert "10 images, 40 objects, 200 detections, 3 classes" in beside.notes
        assert beside.notes[1].endswith("to pycocotools: 0")
        assert len(beside.timings[OURS].seconds) == 2


def _quarter(*_: Any, **__: Any) -> float:
    return 0.25


@pytest.mark.parametrize(
    ("repetitions", "given", "slow", "from_files"),
    [
        *((1, {}, 1, 1), (9, {}, 3, 3), (9, {"slow_repetitions": 5}, 5, 3)),
        *((4, {"slow_repetitions": 5}, 4, 3), (9, {"slow_repetitions": 2}, 2, 2)),
    ],
)
def test_slow_peers_have_repetitions_of_their_own(
    repetitions: int, given: dict[str, int], slow: int, from_files: int
) -> None:
    programs = {name: PROGRAMS[name] for name in (OURS, PYCOCOTOOLS)}
    with (
        patch.object(boxes, "installed", lambda: programs),
        patch.object(boxes, "measure_peak", _quarter),
    ):
        _, *sections = measure_boxes(repetitions, Counts(2, 4, 9, 2), **given)
    for (alone, beside), few in ((sections[:2], slow), (sections[2:], from_files)):
        assert len(alone.timings[OURS].seconds) == repetitions
        assert len(beside.timings[PYCOCOTOOLS].seconds) == few
        assert f"{few} repetitions: a call of theirs may take minutes" in beside.notes
