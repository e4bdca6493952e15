from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mnv2_dense.benchmarking.interleaving import Timing
from mnv2_dense.benchmarking.prediction import sections
from mnv2_dense.benchmarking.prediction.lineup import Lineup
from mnv2_dense.benchmarking.prediction.rows import whole
from mnv2_dense.benchmarking.prediction.sections import (
    find_best,
    measure_files,
    measure_network,
    measure_starts,
)
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.benchmarking.report import Section
from tests.benchmarking.prediction.tiny_networks import PICTURE, lineup_of


@pytest.fixture
def lineup(segmenter: Subject) -> Lineup:
    return lineup_of(segmenter, ("onnx", "torch"))


@pytest.mark.parametrize("fast", ["onnx", "torch"])
def test_the_best_engine_is_the_fastest_for_the_picture(lineup: Lineup, fast: str) -> None:
    times = {whole(name, "120x90"): Timing((2.0 - (name == fast),)) for name in lineup.opened}
    assert find_best(lineup, Section("", times)) == fast


@pytest.mark.parametrize(("given", "timed"), [(1, 1), (30, 5)])
def test_a_folder_is_timed_no_more_often_than_asked(
    lineup: Lineup, given: int, timed: int, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(PICTURE).save(path)
    wanted = replace(lineup.wanted, repetitions=given, threads=2)
    section = measure_files(lineup._replace(wanted=wanted), "onnx", [path])
    assert section.title == "segmentation, 1 picture files"
    assert {len(each.seconds) for each in section.timings.values()} == {timed}
    rate = 1 / section.timings["whole folder"].median
    assert section.notes[1] == f"whole folder: {rate:.1f} pictures/s"
    assert section.ratios[0].target == 1.6


def _first(_: Lineup) -> Section:
    return Section("", notes=["first"])


def test_what_is_left_out_is_noted(lineup: Lineup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "_measure_segmenter", _first)
    subject = replace(lineup.subject, left_out=["litert: not here"])
    few = measure_network(lineup._replace(subject=subject))
    assert few.notes == [
        "first",
        "left out: litert: not here",
    ]
    wanted = replace(lineup.wanted, repetitions=30)
    assert measure_network(lineup._replace(wanted=wanted)).notes == ["first"]


def test_every_file_is_started_and_the_checkpoint_by_default(
    lineup: Lineup, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[object, ...]] = []

    def start(*arguments: object) -> tuple[float, bool]:
        started.append(arguments)
        return 1.25, arguments[1] != "onnx"

    monkeypatch.setattr(sections, "measure_startup", start)
    picture, subject = Path("picture"), lineup.subject
    notes = measure_starts(lineup, picture).notes[1:]
    assert notes == [
        "onnx: 1.25 s, without importing torch",
        "torch: 1.25 s",
        "a checkpoint, by default: 1.25 s",
    ]
    assert started == [
        (subject.path("onnx"), "onnx", 1, picture),
        (subject.checkpoint, "torch", 1, picture),
        (subject.checkpoint, None, 1, picture),
    ]
