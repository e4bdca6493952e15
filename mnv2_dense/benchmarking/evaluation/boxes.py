"""COCO's evaluation of boxes: ours beside pycocotools, faster-coco-eval and torchmetrics."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from mnv2_dense.benchmarking.evaluation.box_programs import (
    FASTER,
    OURS,
    PROGRAMS,
    PYCOCOTOOLS,
    TORCHMETRICS,
    Program,
    installed,
)
from mnv2_dense.benchmarking.evaluation.peak_memory import measure_peak
from mnv2_dense.benchmarking.evaluation.random_boxes import Counts, draw_boxes
from mnv2_dense.benchmarking.interleaving import measure
from mnv2_dense.benchmarking.ratios import Ratio, divide
from mnv2_dense.benchmarking.report import Section

TARGETS: Final = {PYCOCOTOOLS: 0.03, FASTER: 0.25}
"""Most of a peer's time, from records in memory."""
MOST_MEMORY: Final = 0.5
"""Gigabytes."""
SLOW: Final = (PYCOCOTOOLS, TORCHMETRICS)
SLOW_FROM_FILES: Final = 3
"""Repetitions of slow peers at most where there is no target."""
COCO: Final = Counts()

Call = Callable[[], list[float]]


def measure_boxes(
    repetitions: int = 30, counts: Counts = COCO, *, slow_repetitions: int = 3
) -> Iterator[Section]:
    """Memory; then times from records in memory and from files, beside fast and slow peers.

    Args:
        repetitions: Of every call but those beside slow peers.
        counts: How much is evaluated; drawn, the same in every run.
        slow_repetitions: Of peers that take a minute and more, and of ours beside them; never more
            than `repetitions`, and from files 3 at most.
    """
    programs = installed()
    rounds = repetitions, min(repetitions, slow_repetitions)
    truth, results = draw_boxes(counts)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "truth.json", Path(folder) / "results.json"
        for path, content in zip(files, (truth, results), strict=True):
            path.write_text(json.dumps(content))
        yield _weigh(programs, *files, counts)
        calls = {name: partial(each.evaluate, truth, results) for name, each in programs.items()}
        yield from _time_all("records in memory", calls, TARGETS, rounds, counts)
        del truth, results, calls
        from_files: dict[str, Call] = {
            name: partial(each.evaluate_files, *files)
            for name, each in programs.items()
            if each.evaluate_files is not None
        }
        few = repetitions, min(rounds[1], SLOW_FROM_FILES)
        for section in _time_all("JSON files", from_files, {}, few, counts):
            section.notes.append("most of ours is Python's JSON decoder; no target is set for it")
            yield section


def _time_all(
    source: str,
    calls: Mapping[str, Call],
    targets: Mapping[str, float],
    rounds: tuple[int, int],
    counts: Counts,
) -> Iterator[Section]:
    """Ours beside the fast peer, then, in the second number of rounds, beside the slow ones."""
    title = f"COCO evaluation of boxes, from {source}"
    fast = {name: call for name, call in calls.items() if name not in SLOW}
    yield _time(title, fast, targets, rounds[0], counts)
    slow = {name: call for name, call in calls.items() if name in (OURS, *SLOW)}
    section = _time(f"{title}, beside slow peers", slow, targets, rounds[1], counts)
    section.notes.append(f"{rounds[1]} repetitions: a call of theirs may take minutes")
    yield section


def _time(
    title: str,
    calls: Mapping[str, Call],
    targets: Mapping[str, float],
    repetitions: int,
    counts: Counts,
) -> Section:
    found: dict[str, list[float]] = {}
    timings = measure(
        {name: partial(_keep, found, name, call) for name, call in calls.items()},
        repetitions,
        warm=False,
    )
    peers = [name for name in calls if name != OURS]
    ratios = [divide(timings, OURS, name, targets.get(name)) for name in peers]
    notes = [_describe(counts)]
    for name in peers:
        differences = (abs(a - b) for a, b in zip(found[OURS], found[name], strict=True))
        notes.append(f"largest difference of the twelve numbers to {name}: {max(differences):.1g}")
    return Section(title, timings, ratios, notes)


def _keep(found: dict[str, list[float]], name: str, call: Call) -> None:
    found[name] = call()


def _weigh(programs: Mapping[str, Program], truth: Path, results: Path, counts: Counts) -> Section:
    """Peak memory of a fresh process each."""
    section = Section("COCO evaluation of boxes, memory", notes=[_describe(counts)])
    for name, program in programs.items():
        for loaded in (False, True):
            if program.evaluate_files is None and not loaded:
                continue
            peak = measure_peak(name, truth, results, loaded=loaded)
            source = "from records, the decoded files," if loaded else "from JSON files"
            section.notes.append(f"{name} {source} in a fresh process: {peak:.2f} GB")
            if name == OURS:
                what = f"GB at most, {source.rstrip(',')}"
                section.ratios.append(Ratio(what, peak, peak, MOST_MEMORY))
    section.notes += [
        f"left out: {name}, as it is not installed" for name in PROGRAMS if name not in programs
    ]
    return section


def _describe(counts: Counts) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts._asdict().items())
