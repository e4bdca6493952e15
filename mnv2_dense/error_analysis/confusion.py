"""Which class is taken for which."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.error_analysis.arranging import Arranged, Detected, Truth, arrange
from mnv2_dense.error_analysis.assignment import assign
from mnv2_dense.error_analysis.diagnosis import FOREGROUND


def confusion_matrix(
    truth: Truth,
    results: Detected,
    score_threshold: float,
    *,
    image_ids: Collection[int] | None = None,
) -> NDArray[np.int64]:
    """How often objects of a class are detected as each class: [K + 1, K + 1].

    Rows are true classes and columns predicted ones, ordered by category id; the last row and
    column stand for the background: `matrix[K, c]` detections of class c are on no object, and
    `matrix[c, K]` objects of class c are not detected. `matrix[K, K]` is 0. The row of a class sums
    to its objects, the column to its detections that count.

    The detections of an image with at least the score threshold choose in turn, best first, at most
    100. One takes the free object of the highest IoU, 0.5 or more, of whatever class; of equal IoU
    the later one. One that takes none is passed over where a crowd or a difficult object of its own
    class has IoU 0.5 or more with it; with a crowd that is the share of the detection inside.
    Crowds and difficult objects are in no row.

    Args:
        truth: See `analyze_errors`.
        results: See `analyze_errors`.
        score_threshold: Least score of a detection that counts.
        image_ids: See `analyze_errors`.

    Raises:
        UserError: See `analyze_errors`.
    """
    scene = arrange(truth, results, image_ids, score_threshold)
    taken, passed_over = _match(scene)
    number = len(scene.categories)
    true = np.append(scene.object_labels, number)[taken]
    lost = scene.counts.copy()
    lost[taken[taken >= 0]] = False
    matrix = np.zeros((number + 1, number + 1), dtype=np.int64)
    np.add.at(matrix, (true[~passed_over], scene.labels[~passed_over]), 1)
    matrix[:number, number] = np.bincount(scene.object_labels[lost], minlength=number)
    return matrix


def _match(scene: Arranged) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The object that counts that each detection takes, or -1, and which are passed over."""
    pairs = scene.pairs(FOREGROUND)
    counts = scene.counts[pairs.objects]
    taken = assign(
        pairs.detections[counts], pairs.objects[counts], scene.found_images, scene.crowds
    )
    same = scene.labels[pairs.detections] == scene.object_labels[pairs.objects]
    passed_over = np.zeros(len(taken), dtype=np.bool_)
    passed_over[pairs.detections[same & ~counts]] = True
    return taken, passed_over & (taken < 0)
