"""Where AP at IoU 0.5 is lost."""

from collections.abc import Collection

import numpy as np

from mnv2_dense.coco_evaluation.summary import unique_names
from mnv2_dense.error_analysis.arranging import Arranged, Detected, Truth, arrange
from mnv2_dense.error_analysis.costs import Costs
from mnv2_dense.error_analysis.diagnosis import CLASSIFICATION, Diagnosis, diagnose
from mnv2_dense.error_analysis.report import ClassErrors, Confusion, ErrorAnalysis


def analyze_errors(
    truth: Truth, results: Detected, *, image_ids: Collection[int] | None = None
) -> ErrorAnalysis:
    """What errors of each kind cost in AP at IoU 0.5, as TIDE defines it; nothing given is changed.

    A detection that finds no object of its class, as COCO's evaluation matches them at IoU 0.5, is
    named by the first rule that fits. IoU is that with objects that count: no crowd, not difficult.

    - `localization`: the object of its class that it overlaps most has IoU 0.1 to 0.5;
    - `classification`: an object of another class has IoU 0.5 or more;
    - `duplicate`: an object of its class has more than 0.5, but a better detection took it;
    - `background`: no object of any class has more than 0.1;
    - `both`: all others, as 0.1 to 0.5 with an object of another class.

    An object that is not found is `missed` unless it is what an error of the first two kinds is
    about. What a kind costs is AP with these errors alone fixed, minus AP. A wrong class or place
    is put right where no detection finds that object and this is the best one of those that are
    about it, whichever of the two errors they have; else, and with the other kinds, the detection
    is left out. Missed objects are taken from those to be found. For `false_positives` all that is
    wrong is left out, for `false_negatives` every object that is not found.

    Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV
    2020, arXiv:2008.08115. As in the authors' tool, the 100 best detections of an image are looked
    at, of all classes together; a detection that a crowd excuses has a kind, too, is counted, and
    may be put right; a class of which neither objects nor detections are left is not averaged.

    Differs from the authors' tool: a class that has no objects to begin with is not averaged, where
    the tool takes its AP for 0; equal scores keep their order when errors are fixed; of equal IoU
    the later object is taken; an IoU of just 0.5 with a crowd excuses; recalls are pycocotools';
    `difficult` objects are as in `coco_evaluation`; reason: so `ap50` is COCO's AP50, unless an
    image has more than 100 detections.

    Args:
        truth: A COCO instances file or its content.
        results: A COCO results file or its content; none at all is allowed; a category that the
            truth lacks is passed over.
        image_ids: Images to look at, all by default.

    Raises:
        UserError: A file cannot be read or is none of its kind, an image that the truth lacks, or
            a box or score that is not finite.
    """
    scene = arrange(truth, results, image_ids)
    diagnosis = diagnose(scene)
    costs, names = Costs(scene, diagnosis), unique_names(scene.categories)
    total = costs.sum_up(np.ones(len(names), dtype=np.bool_))
    return ErrorAnalysis(
        total.ap50,
        scene.images,
        total.errors,
        total.false_positives,
        total.false_negatives,
        tuple(_of_class(place, scene, costs, names) for place in range(len(names))),
        _find_confusions(scene, diagnosis, names),
    )


def _of_class(place: int, scene: Arranged, costs: Costs, names: list[str]) -> ClassErrors:
    number, objects = list(scene.categories)[place], int(costs.objects[place])
    return ClassErrors(number, names[place], objects, *costs.sum_up(np.arange(len(names)) == place))


def _find_confusions(
    scene: Arranged, diagnosis: Diagnosis, names: list[str]
) -> tuple[Confusion, ...]:
    confused = np.flatnonzero(~diagnosis.hits & (diagnosis.kinds == CLASSIFICATION))
    true = scene.object_labels[diagnosis.targets[confused]]
    pairs, counts = np.unique(true * len(names) + scene.labels[confused], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(
        Confusion(names[pair // len(names)], names[pair % len(names)], count)
        for pair, count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    )
