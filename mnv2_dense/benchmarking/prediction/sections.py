"""The parts of a run: a network beside its peers, its folder of pictures, its start."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mnv2_dense.benchmarking.interleaving import Timing, measure
from mnv2_dense.benchmarking.prediction.folder import measure_folder
from mnv2_dense.benchmarking.prediction.lineup import Lineup
from mnv2_dense.benchmarking.prediction.random_weights import CANDIDATES, MIXED
from mnv2_dense.benchmarking.prediction.rows import (
    THRESHOLDS,
    Calls,
    detector_rows,
    segmenter_rows,
    shown_pictures,
    size_of,
)
from mnv2_dense.benchmarking.prediction.startup import PROCESSES, measure_startup
from mnv2_dense.benchmarking.prediction.targets import (
    best_engine,
    detector_ratios,
    folder_ratios,
    segmenter_ratios,
)
from mnv2_dense.benchmarking.prediction.wanted import Wanted
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.prediction.loading import ENGINES, load

FOLDER_REPETITIONS = 5
"""At most: a folder takes seconds."""


def measure_network(lineup: Lineup) -> Section:
    """One interleaved run of a network and its peers."""
    detects = lineup.subject.manifest.task == "detection"
    section = _measure_detector(lineup) if detects else _measure_segmenter(lineup)
    section.notes += [f"left out: {reason}" for reason in lineup.subject.left_out]
    return section


def _measure_detector(lineup: Lineup) -> Section:
    timings = _measure(detector_rows(lineup), lineup.wanted)
    ratios = detector_ratios(timings, list(lineup.opened), lineup.wanted.threads)
    wished = " and ".join(f"{count} of at least {score}" for score, count in CANDIDATES.items())
    size = size_of(lineup.picture)
    notes = [
        f"width 1.0, 90 classes; a decoded picture of {size} to boxes, by threshold",
        f"random weights, ours and torchvision's, fitted to give some {wished} before NMS",
    ]
    return Section("SSDLite 320", timings, ratios, notes)


def _measure_segmenter(lineup: Lineup) -> Section:
    timings = _measure(segmenter_rows(lineup), lineup.wanted)
    sizes = [size_of(picture) for picture in shown_pictures(lineup.picture)]
    ratios = segmenter_ratios(timings, list(lineup.opened), list(lineup.others), sizes)
    notes = [
        "light head, 21 classes; a decoded picture to its label map, by the picture's size",
        f"random weights, ours fitted to give several classes in some {MIXED:.0%} of the gaps "
        "between cells",
    ]
    if lineup.wanted.tflite is not None:
        notes.append(f"TFLite runtime: {lineup.wanted.tflite.name} on a prepared picture")
    return Section("DeepLabv3 513", timings, ratios, notes)


def _measure(calls: Calls, wanted: Wanted) -> dict[str, Timing]:
    with tqdm(total=len(calls) * wanted.repetitions, leave=False) as bar:
        return measure(calls, wanted.repetitions, advance=bar.update)


def find_best(lineup: Lineup, section: Section) -> str:
    """The engine that was the fastest in a network's own run."""
    detects = lineup.subject.manifest.task == "detection"
    setting = THRESHOLDS[0] if detects else size_of(lineup.picture)
    return best_engine(section.timings, setting, list(lineup.opened))


def measure_files(lineup: Lineup, engine: str, paths: Sequence[Path]) -> Section:
    """Pictures in files by one engine: one by one, and as a folder."""
    opened, wanted = lineup.opened[engine], lineup.wanted
    single = load(opened.path, engine, threads=1) if ENGINES[engine].apart else None
    repetitions = min(FOLDER_REPETITIONS, wanted.repetitions)
    timings = measure_folder(opened.predictor, single, paths, repetitions)
    ratios = folder_ratios(timings, engine, wanted.threads)
    rates = [
        f"{way}: {len(paths) / timing.median:.1f} pictures/s" for way, timing in timings.items()
    ]
    title = f"{lineup.subject.manifest.task}, {len(paths)} picture files"
    return Section(title, timings, ratios, rates)


def measure_starts(lineup: Lineup, picture: Path) -> Section:
    """A fresh process of each engine, to its result of a picture."""
    notes = [f"a fresh Python to its first result, median of {PROCESSES}"]
    starts = {name: (each.path, each.engine) for name, each in lineup.ours.items()}
    starts["a checkpoint, by default"] = (lineup.subject.checkpoint, None)
    for name, (path, engine) in starts.items():
        seconds, torch_came = measure_startup(path, engine, lineup.wanted.threads, picture)
        notes.append(f"{name}: {seconds:.2f} s{'' if torch_came else ', without importing torch'}")
    return Section(f"{lineup.subject.manifest.task}, start-up", notes=notes)
