import copy
import json
import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest

from mnv2_dense.coco_evaluation.evaluation import Backend
from mnv2_dense.coco_evaluation.records import records_of
from mnv2_dense.detection import scoring
from mnv2_dense.detection.scoring import (
    SUMMARY_KEYS,
    DetectionScores,
    coco_results,
    per_class_table,
    summary_table,
)
from mnv2_dense.errors import UserError
from tests.detection.scenes import (
    CATEGORIES,
    FOUND,
    TRUTH,
    annotation,
    detections,
    ground_truth,
    result,
)

Evaluate = Callable[..., DetectionScores]


@pytest.fixture(params=get_args(Backend))
def evaluate(request: pytest.FixtureRequest) -> Evaluate:
    """By both backends: every rule holds for either."""
    return partial(scoring.evaluate, backend=request.param)


def test_average_precision_by_hand(evaluate: Evaluate) -> None:
    # Ranked: hit, miss, hit of two objects. Precision 1 up to recall 0.5, which 51 of the 101
    # recall points reach, then 2/3. All boxes are exact and of medium size (50 x 50).
    truth = ground_truth(
        [1], [annotation(1, 3, (0, 0, 50, 50)), annotation(1, 3, (100, 0, 50, 50))]
    )
    scores = evaluate(
        truth,
        [
            result(1, 3, (0, 0, 50, 50), 0.9),
            result(1, 3, (300, 0, 50, 50), 0.8),
            result(1, 3, (100, 0, 50, 50), 0.7),
        ],
    )
    ap = (51 + 50 * 2 / 3) / 101
    by_hand = (ap, ap, ap, -1, ap, -1, 0.5, 1, 1, -1, 1, -1)
    assert scores.summary == pytest.approx(dict(zip(SUMMARY_KEYS, by_hand, strict=True)))
    cat = {"AP": ap, "AP50": ap, "AP75": ap, "APs": -1, "APm": ap, "APl": -1, "AR100": 1}
    assert scores.per_class["cat"] == pytest.approx(cat)
    assert set(scores.per_class["dog"].values()) == {-1}


def test_iou_thresholds_by_hand(evaluate: Evaluate) -> None:
    # IoU 0.82 passes 0.50, 0.55, ... 0.80: seven of the ten thresholds.
    truth = ground_truth([1], [annotation(1, 7, (0, 0, 100, 100))])
    scores = evaluate(truth, [result(1, 7, (0, 0, 82, 100), 0.5)])
    assert scores.summary["mAP"] == pytest.approx(0.7)
    assert scores.summary["AP75"] == pytest.approx(1)
    assert scores.summary["APl"] == pytest.approx(0.7)


def test_detections_on_a_crowd_are_neither_right_nor_wrong(evaluate: Evaluate) -> None:
    crowd = annotation(1, 3, (0, 0, 200, 200), iscrowd=1)
    truth = ground_truth([1], [crowd, annotation(1, 3, (300, 0, 50, 50))])
    hit = result(1, 3, (300, 0, 50, 50), 0.5)
    on_crowd = [result(1, 3, (x, 0, 40, 40), 0.9) for x in (0, 50, 100)]
    assert evaluate(truth, [hit, *on_crowd]).summary["mAP"] == pytest.approx(1)
    off_crowd = result(1, 3, (500, 0, 40, 40), 0.9)
    assert evaluate(truth, [hit, off_crowd]).summary["mAP"] == pytest.approx(0.5)


def test_annotation_id_zero_counts_like_any_other(evaluate: Evaluate) -> None:
    truth = ground_truth([1], [annotation(1, 3, (0, 0, 50, 50))])
    truth["annotations"][0]["id"] = 0
    assert evaluate(truth, [result(1, 3, (0, 0, 50, 50), 0.9)]).summary["mAP"] == pytest.approx(1)


def test_repeated_annotation_ids_count_each(evaluate: Evaluate) -> None:
    truth = ground_truth(
        [1], [annotation(1, 3, (0, 0, 50, 50)), annotation(1, 3, (100, 0, 50, 50))]
    )
    for fields in truth["annotations"]:
        fields["id"] = 5
    assert evaluate(truth, [result(1, 3, (0, 0, 50, 50), 0.9)]).summary["AR100"] == 0.5


def test_no_detections_score_zero_where_there_is_ground_truth(evaluate: Evaluate) -> None:
    scores = evaluate(ground_truth([1], [annotation(1, 3, (0, 0, 50, 50))]), [])
    zero = {"mAP", "AP50", "AP75", "APm", "AR1", "AR10", "AR100", "ARm"}
    assert scores.summary == {key: 0 if key in zero else -1 for key in SUMMARY_KEYS}


def test_nothing_to_measure_is_undefined(evaluate: Evaluate) -> None:
    assert set(evaluate(ground_truth([1], []), []).summary.values()) == {-1}
    nothing_seen = evaluate(TRUTH, [], image_ids=[])
    assert set(nothing_seen.summary.values()) == {-1}
    assert nothing_seen.images == 0


def test_only_the_given_images_count(evaluate: Evaluate) -> None:
    results = [result(1, 3, (10, 10, 40, 40), 0.9), result(6, 3, (0, 0, 9, 9), 1.0)]
    limited = evaluate(TRUTH, results, image_ids=[1, 1])
    assert limited.images == 1
    assert limited.per_class["cat"]["AP"] == pytest.approx(1)
    assert evaluate(TRUTH, results).per_class["cat"]["AP"] < 0.5


def test_inputs_stay_as_they_are_and_nothing_is_printed(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = copy.deepcopy(TRUTH)
    results = records_of(coco_results(list(FOUND), list(FOUND.values()), CATEGORIES))
    before = copy.deepcopy(results)
    evaluate(truth, results)
    assert (truth, results) == (TRUTH, before)
    assert capsys.readouterr() == ("", "")


def test_optional_annotation_fields(evaluate: Evaluate) -> None:
    truth = ground_truth([1], [annotation(1, 3, (0, 0, 50, 50))])
    del truth["annotations"][0]["area"], truth["annotations"][0]["iscrowd"]
    assert evaluate(truth, [result(1, 3, (0, 0, 50, 50), 0.9)]).summary["APm"] == pytest.approx(1)


def test_a_box_that_is_not_finite_matches_nothing(evaluate: Evaluate) -> None:
    good = annotation(1, 3, (0, 0, 50, 50))
    truth = ground_truth([1], [annotation(1, 3, (math.nan, 0, 50, 50), area=2500.0), good])
    results = [result(1, 3, (200, 0, 50, 50), 0.9), result(1, 3, (0, 0, 50, 50), 0.8)]
    assert evaluate(truth, results).summary["mAP"] == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_detection_that_is_not_finite_is_named(evaluate: Evaluate, bad: float) -> None:
    with pytest.raises(UserError, match=r"image 1 has box .* finite"):
        evaluate(TRUTH, [result(1, 3, (0, 0, bad, 5), 0.5)])
    with pytest.raises(UserError, match=r"image 1 has box .* finite"):
        evaluate(TRUTH, [result(1, 3, (0, 0, 5, 5), bad)])


def test_an_unknown_image_is_named(evaluate: Evaluate) -> None:
    with pytest.raises(UserError, match="image id 99 "):
        evaluate(TRUTH, [result(99, 3, (0, 0, 5, 5), 0.5)])
    with pytest.raises(UserError, match="image id 98 "):
        evaluate(TRUTH, [], image_ids=[1, 98])


def test_classes_of_one_name_stay_apart(evaluate: Evaluate) -> None:
    truth = {**TRUTH, "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}]}
    assert list(evaluate(truth, []).per_class) == ["cat (3)", "cat (7)"]


def test_scores_survive_json(evaluate: Evaluate) -> None:
    scores = evaluate(TRUTH, coco_results(list(FOUND), list(FOUND.values()), CATEGORIES))
    back = json.loads(json.dumps(scores.as_dict()))
    assert list(back)[:12] == list(SUMMARY_KEYS)
    assert back == {**scores.summary, "per_class": scores.per_class, "images": 6}


def test_results_are_xywh_with_category_ids() -> None:
    found = detections((1.5, 2.0, 4.0, 8.0, 0.25, 1))
    assert records_of(coco_results([9], [found], CATEGORIES)) == [
        result(9, 7, (1.5, 2.0, 2.5, 6.0), 0.25)
    ]


def test_results_do_not_round() -> None:
    found = detections((0.1, 0.2, 639.9, 479.3, 0.3, 0))
    (only,) = records_of(coco_results([9], [found], CATEGORIES))
    left, top, right, bottom = found.boxes[0].tolist()
    assert only["bbox"] == [left, top, right - left, bottom - top]
    assert json.loads(json.dumps(only)) == only


def test_results_keep_the_first_of_an_image() -> None:
    first, second = detections((0, 0, 1, 1, 0.5, 0)), detections((0, 0, 2, 2, 0.6, 0))
    both, one = (
        records_of(coco_results([4] * len(found), found, CATEGORIES))
        for found in ([first, second], [first])
    )
    assert both == one
    assert len(one) == 1


@pytest.mark.parametrize("label", [-1, 2])
def test_results_refuse_a_label_without_a_category(label: int) -> None:
    with pytest.raises(ValueError, match=f"label {label} in image 9"):
        coco_results([9], [detections((0, 0, 1, 1, 0.5, label))], CATEGORIES)


def test_a_difficult_box_is_neither_missed_nor_found(evaluate: Evaluate) -> None:
    plain, hard = (0, 0, 50, 50), (100, 100, 50, 50)
    truth = ground_truth([1], [annotation(1, 7, plain), annotation(1, 7, hard, difficult=1)])
    found, also = result(1, 7, plain, 0.5), result(1, 7, hard, 0.9)
    assert evaluate(truth, [found]).summary["mAP"] == pytest.approx(1)
    assert evaluate(truth, [found, also]).summary["mAP"] == pytest.approx(1)
    counted = ground_truth([1], [annotation(1, 7, plain), annotation(1, 7, hard)])
    assert evaluate(counted, [found]).summary["mAP"] < 0.6


def test_class_table_is_sorted_and_shows_undefined_as_a_dash(evaluate: Evaluate) -> None:
    truth = ground_truth([1], [annotation(1, 7, (0, 0, 50, 50))])
    scores = evaluate(truth, [result(1, 7, (0, 0, 50, 50), 0.9)])
    assert per_class_table(scores).splitlines() == [
        "class     AP   AP50   AP75    APs    APm    APl  AR100",
        "dog    1.000  1.000  1.000      -  1.000      -  1.000",
        "cat        -      -      -      -      -      -      -",
    ]


def test_summary_table_has_the_twelve_lines(evaluate: Evaluate) -> None:
    lines = summary_table(evaluate(TRUTH, [])).splitlines()
    assert len(lines) == 12
    assert lines[0].startswith(
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=1"
    )
    assert lines[6].endswith("maxDets=  1 ] = 0.000")
