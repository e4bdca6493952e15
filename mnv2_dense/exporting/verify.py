"""Whether an exported file computes what PyTorch computes out of the checkpoint."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays

Arrays = DetectorArrays | SegmenterArrays


@dataclass(frozen=True)
class Limits:
    """Up to where two engines compute the same.

    Attributes:
        equal: Least share of boxes, or of pixels, that must be the same in both.
        counted_from: Least score of the boxes that are looked for in the other engine's.
        iou: Least overlap of the same box with itself.
        score: Largest difference of its scores.
    """

    equal: float
    counted_from: float
    iou: float
    score: float


BOXES = {
    # Rounding moves boxes by 1e-6 of a side; it decides which of two equal scores is the last
    # that is given, and the NMS of boxes whose overlap is the threshold.
    "float32": Limits(equal=0.99, counted_from=0.0, iou=0.99, score=1e-4),
    # Steps of 8 bits move boxes by several pixels and scores by some hundredths; a doubtful box
    # comes and goes, a good one stays.
    "int8": Limits(equal=0.9, counted_from=0.3, iou=0.5, score=0.3),
}
PIXELS = {
    # Only pixels where two classes are equal up to rounding.
    "float32": 0.999,
    # Edges move by a pixel or two, and doubtful areas change; where quantisation fails, a picture
    # of several classes becomes one of noise or of one class.
    "int8": 0.9,
}


NOISE = {"float32": 1e-3, "int8": 0.3}
"""Most that logits may differ: root of the mean square of the differences, over their deviation.

A picture of one class has the same labels with quite other logits. Rounding of float32 makes some
1e-6, that of 8 bits 0.1.
"""


@dataclass(frozen=True)
class Verification:
    """How an engine compares with PyTorch.

    Attributes:
        differences: Largest ones, by what differs.
        unit: Of `equal`: boxes or pixels.
        counted: How many boxes or pixels were compared: with none, nothing is shown.
        equal: Share of them that is the same, 0 of none.
        least: Share that is asked for.
        noise: Of a segmenter: how much the logits differ, as a share of how much they vary; see
            `NOISE`.
        most_noise: Up to where they compute the same.
    """

    differences: dict[str, float]
    unit: str
    counted: int
    equal: float
    least: float
    noise: float = 0.0
    most_noise: float = math.inf

    @property
    def same(self) -> bool:
        """Whether the two compute the same, as far as their precision allows to ask."""
        finite = all(map(math.isfinite, self.differences.values()))
        return finite and self.equal >= self.least and self.noise <= self.most_noise


def verify(engine: Engine, reference: Engine, *pictures: NDArray[np.uint8]) -> Verification:
    """Compares two engines on pictures: each alone, and the first two of a group at once.

    Those two are seen with a raised score threshold, where the engine is of float32.

    Args:
        engine: Of the exported file; its precision says what may differ.
        reference: Of the checkpoint.
        pictures: Groups of one size, as both engines take them, [N, H, W, 3].
    """
    precision = engine.manifest.precision
    answers = [each for group in pictures for each in _answers(engine, reference, group)]
    if engine.manifest.task == "detection":
        limits = BOXES[precision]
        compared = [_compare_boxes(ours, theirs, limits) for ours, theirs in answers]
        unit, least = "boxes", limits.equal
        noise, most_noise = 0.0, math.inf
    else:
        compared = [_compare_pixels(ours, theirs) for ours, theirs in answers]
        unit, least = "pixels", PIXELS[precision]
        noise, most_noise = _noise(answers), NOISE[precision]
    same, counted, differences = zip(*compared, strict=True)
    return Verification(
        differences={
            name: float(np.max([each[name] for each in differences])) for name in differences[0]
        },
        unit=unit,
        counted=sum(counted),
        equal=sum(same) / max(1, sum(counted)),
        least=least,
        noise=noise,
        most_noise=most_noise,
    )


def _answers(
    engine: Engine, reference: Engine, pictures: NDArray[np.uint8]
) -> Iterator[tuple[Arrays, Arrays]]:
    """What the reference and the engine give for one picture after another."""
    for picture in pictures:
        yield reference.run(picture[None]), engine.run(picture[None])
    together = pictures[: engine.manifest.batch or 2]
    # In 8 bits scores move, and others than the reference's pass.
    exact = engine.manifest.precision == "float32"
    threshold = _raised_threshold(reference.run(pictures[:1])) if exact else 0.0
    ours, theirs = (each.run(together, threshold) for each in (reference, engine))
    for i in range(len(together)):
        yield _only(ours, i), _only(theirs, i)


def _raised_threshold(arrays: Arrays) -> float:
    """One that some boxes pass and some do not, as far from their scores as there is room."""
    if not isinstance(arrays, DetectorArrays):
        return 0.0
    scores = np.unique(arrays.scores[arrays.scores > 0])
    if len(scores) < 2:
        return 0.0
    lower = int(np.diff(scores).argmax())
    return float(scores[lower : lower + 2].mean())


def _only(arrays: Arrays, picture: int) -> Arrays:
    """What was given for one picture of a batch."""
    return arrays._make(each[picture : picture + 1] for each in arrays)


Compared = tuple[int, int, dict[str, float]]
"""Of one picture: what is the same, what was counted, largest differences by their name."""


def _compare_pixels(ours: Arrays, theirs: Arrays) -> Compared:
    assert isinstance(ours, SegmenterArrays)
    assert isinstance(theirs, SegmenterArrays)
    same = int(np.count_nonzero(ours.label_maps == theirs.label_maps))
    difference = np.abs(ours.class_logits - theirs.class_logits).max()
    return same, ours.label_maps.size, {"logits": float(difference)}


def _noise(answers: Sequence[tuple[Arrays, Arrays]]) -> float:
    """How much the logits of two engines differ, as a share of how much the first's vary."""
    pairs = [
        (ours.class_logits, theirs.class_logits)
        for ours, theirs in answers
        if isinstance(ours, SegmenterArrays) and isinstance(theirs, SegmenterArrays)
    ]
    errors = [np.square(theirs - ours, dtype=np.float64).mean() for ours, theirs in pairs]
    spread = float(np.mean([ours.var(dtype=np.float64) for ours, _ in pairs]))
    return math.sqrt(float(np.mean(errors)) / max(spread, np.finfo(np.float32).tiny))


def _compare_boxes(ours: Arrays, theirs: Arrays, limits: Limits) -> Compared:
    """Looks for the boxes of each engine among those of the other, each for one of its own."""
    assert isinstance(ours, DetectorArrays)
    assert isinstance(theirs, DetectorArrays)
    first, second = _found(ours), _found(theirs)
    overlap = _iou(first.boxes, second.boxes)
    scores = np.abs(first.scores[:, None] - second.scores)
    same_label = first.labels[:, None] == second.labels
    pairs = same_label & (overlap >= limits.iou) & (scores <= limits.score)
    rows, columns = linear_sum_assignment(np.where(pairs, 1 + overlap, 0), maximize=True)
    matched = np.zeros_like(pairs)
    matched[rows, columns] = pairs[rows, columns]
    found = np.concatenate([matched.any(1), matched.any(0)])
    # Turned round, so that a score that is no number counts.
    counted = ~(np.concatenate([first.scores, second.scores]) < limits.counted_from)
    sides = np.abs(first.boxes[:, None] - second.boxes).max(-1, initial=0.0)
    differences = {
        "scores": float(scores[matched].max(initial=0.0)),
        "boxes": float(sides[matched].max(initial=0.0)),
    }
    return int((found & counted).sum()), int(counted.sum()), differences


def _found(arrays: DetectorArrays) -> DetectorArrays:
    """The boxes [N, 4] of one picture, without what fills them up."""
    kept = ~(arrays.scores[0] <= 0)
    return DetectorArrays(*(each[0][kept] for each in arrays))


def _iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Overlaps [N, M] of boxes xyxy."""
    low = np.maximum(first[:, None, :2], second[:, :2])
    high = np.minimum(first[:, None, 2:], second[:, 2:])
    inside = (high - low).clip(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - inside
    return inside / np.maximum(union, np.finfo(np.float32).tiny)
