"""Ratios of what was timed, beside what they should be."""

from collections.abc import Sequence

from mnv2_dense.benchmarking.prediction.folder import ONE_BY_ONE, ONE_THREAD, WHOLE
from mnv2_dense.benchmarking.prediction.rows import (
    ALONE,
    EAGER,
    FOLDED,
    TFLITE,
    THRESHOLDS,
    TORCHVISION,
    inside,
    whole,
)
from mnv2_dense.benchmarking.ratios import Ratio, Timings, divide


def best_engine(timings: Timings, setting: object, engines: list[str]) -> str:
    """The engine of the smallest median of the whole call."""
    return min(engines, key=lambda engine: timings[whole(engine, setting)].median)


def detector_ratios(timings: Timings, engines: list[str], threads: int) -> list[Ratio]:
    """SSDLite's lines, by score threshold."""
    found: list[Ratio] = []
    for threshold, share in zip(THRESHOLDS, (0.10, 0.25), strict=True):
        best = best_engine(timings, threshold, engines)
        ours = whole(best, threshold)
        peer = 0.45 if threads == 1 else 0.40
        found.append(divide(timings, ours, f"{TORCHVISION}, {threshold}", peer))
        if ALONE in timings:
            found.append(divide(timings, ours, ALONE, 1.25))
            found.append(_decoding_share(timings, threshold, share))
    return [*found, divide(timings, FOLDED, EAGER, 0.70)]


def segmenter_ratios(
    timings: Timings, engines: list[str], models: list[str], sizes: Sequence[str]
) -> list[Ratio]:
    """DeepLabv3's lines, by the pictures' sizes; nothing is asked of the larger one.

    Args:
        timings: By call.
        engines: Of the network in float32, as the peers' are.
        models: Other files of it, as in 8 bits; for the TFLite runtime's file, which is in 8 bits.
        sizes: Of the pictures, one or two.
    """
    found: list[Ratio] = []
    for size, asked in zip(sizes, (True, False), strict=False):
        ours = whole(best_engine(timings, size, engines), size)
        best = whole(best_engine(timings, size, [*engines, *models]), size)
        found.append(divide(timings, ours, f"{TORCHVISION}, {size}", 0.35 if asked else None))
        found.append(divide(timings, ours, f"{TORCHVISION} by max(1), {size}", None))
        for call, peer, target in ((best, TFLITE, 1.0), (ours, ALONE, 1.25)):
            if peer in timings:
                found.append(divide(timings, call, peer, target if asked else None))
    return [*found, divide(timings, FOLDED, EAGER, 0.70)]


def folder_ratios(timings: Timings, engine: str, threads: int) -> list[Ratio]:
    """Pictures per second of a folder beside those of calls one by one.

    The second line is what bounds the first: `threads` threads that never wait for each other.
    """
    name = f"pictures per second by {engine}: {WHOLE} / {ONE_BY_ONE}"
    ratio = divide(timings, ONE_BY_ONE, WHOLE, None)
    target = 1.6 if threads > 1 else None  # One thread has nothing to share.
    ratios = [Ratio(name, ratio.value, ratio.best, target, "at least")]
    if ONE_THREAD in timings:
        most = divide(timings, ONE_BY_ONE, ONE_THREAD, None)
        bound = f"the same, if {threads} threads shared the work of one without any loss"
        ratios.append(Ratio(bound, threads * most.value, threads * most.best))
    return ratios


def _decoding_share(timings: Timings, threshold: float, target: float) -> Ratio:
    """What the ONNX file takes longer than the network in it, as a share of the whole call."""
    file, call = timings[inside(threshold)], timings[whole("onnx", threshold)]
    alone = timings[ALONE]
    return Ratio(
        f"decoding and NMS as a share of: {whole('onnx', threshold)}",
        (file.median - alone.median) / call.median,
        (file.best - alone.best) / call.best,
        target,
    )
