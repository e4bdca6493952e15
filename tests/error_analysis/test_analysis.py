"""Every kind of error by hand; AP is the mean of precision at the 101 recalls 0, 0.01, ..., 1."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv2_dense.coco_evaluation import evaluate, ground_truth_of, results_of
from mnv2_dense.error_analysis import Confusion, ErrorAnalysis, Loss, analyze_errors
from mnv2_dense.errors import UserError
from tests.error_analysis.cases import CAT, DOG, found, thing, truth_of

KINDS = ["classification", "localization", "both", "duplicate", "background", "missed"]


def check(analysis: ErrorAnalysis, ap50: float, **losses: tuple[float, int]) -> None:
    """AP50, and dAP and count of every kind; what is not given is 0 and 0."""
    assert list(analysis.errors) == KINDS
    everything = {
        **analysis.errors,
        "false_positives": analysis.false_positives,
        "false_negatives": analysis.false_negatives,
    }
    expected = {name: losses.get(name, (0.0, 0)) for name in everything}
    assert {name: loss.count for name, loss in everything.items()} == {
        name: count for name, (_, count) in expected.items()
    }
    assert {name: loss.dap for name, loss in everything.items()} == pytest.approx(
        {name: dap for name, (dap, _) in expected.items()}, abs=1e-12
    )
    assert analysis.ap50 == pytest.approx(ap50, abs=1e-12)


def test_perfect_results_lose_nothing() -> None:
    truth = truth_of(thing(), thing(DOG), thing(DOG, image=2))
    analysis = analyze_errors(truth, [found(0.9), found(0.8, DOG), found(0.7, DOG, image=2)])
    check(analysis, 1.0)
    assert analysis.images == 2
    assert analysis.confusions == ()


def test_a_wrong_class() -> None:
    """The cat is found, AP 1; the dog is taken for a worse cat, AP 0: (1 + 0) / 2.

    Fixed, the dog is found, too: (1 + 1) / 2. Without the dog to be found its class, which has no
    detection, is gone: 1 / 1. The wrong cat is worse than the right one, so it costs nothing there.
    """
    truth = truth_of(thing(), thing(DOG, image=2))
    analysis = analyze_errors(truth, [found(0.9), found(0.8, image=2, percent=90)])
    losses = {"false_positives": (0.0, 1), "false_negatives": (0.5, 1)}
    check(analysis, 0.5, classification=(0.5, 1), **losses)
    cat, dog = analysis.classes
    assert (cat.category_id, cat.name, cat.objects, cat.ap50) == (CAT, "cat", 1, pytest.approx(1))
    assert (dog.category_id, dog.name, dog.objects, dog.ap50) == (DOG, "dog", 1, 0.0)
    # Counted where it was detected; the AP is lost where the object is.
    assert cat.errors["classification"] == Loss(0.0, 1)
    lost = dog.errors["classification"]
    assert (lost.dap, lost.count) == (pytest.approx(1), 0)
    assert (cat.false_positives.count, cat.false_negatives.count) == (1, 0)
    assert (dog.false_positives.count, dog.false_negatives.count) == (0, 1)
    assert analysis.confusions == (Confusion("dog", "cat", 1),)


def test_a_wrong_place() -> None:
    """Two of two at IoU 0.4: no AP. The better one is put right, the other has no object left.

    One cat: AP 0, fixed 1. Without the cat to be found, only wrong detections are left: still 0.
    """
    analysis = analyze_errors(truth_of(thing()), [found(0.9, percent=40), found(0.8, percent=30)])
    check(
        analysis,
        0.0,
        localization=(1.0, 2),
        false_positives=(0.0, 2),
        false_negatives=(0.0, 1),
    )


def test_wrong_in_both() -> None:
    """A cat at IoU 0.3 of the dog is better than the right cat.

    AP of cats is 1/2, of dogs 0: 1/4. Without the error that of cats is 1: (1 + 0) / 2. Without the
    missed dog its class is gone: 1/2.
    """
    truth = truth_of(thing(), thing(DOG, image=2))
    analysis = analyze_errors(truth, [found(0.9, image=2, percent=30), found(0.8)])
    check(
        analysis,
        0.25,
        both=(0.25, 1),
        missed=(0.25, 1),
        false_positives=(0.25, 1),
        false_negatives=(0.25, 1),
    )


def test_a_duplicate() -> None:
    """Right, again the same, right: precision 1 up to recall 0.5, then 2/3.

    51 recalls at 1 and 50 at 2/3: AP is (51 + 100 / 3) / 101, without the second one 1.
    """
    truth = truth_of(thing(), thing(image=2))
    analysis = analyze_errors(truth, [found(0.9), found(0.8, percent=80), found(0.7, image=2)])
    lost = 50 / 3 / 101
    check(analysis, 1 - lost, duplicate=(lost, 1), false_positives=(lost, 1))


def test_background() -> None:
    """Wrong, right: precision 1/2 everywhere; without the first 1. IoU 0.1 is background."""
    truth = truth_of(thing(), thing(DOG, image=2))
    dog = found(0.8, DOG, image=2)
    for other in (found(0.9, image=2, left=300), found(0.9, image=2, percent=10)):
        analysis = analyze_errors(truth, [other, found(0.8), dog])
        check(analysis, 0.75, background=(0.25, 1), false_positives=(0.25, 1))


def test_a_miss() -> None:
    """One of two found: recall 0.5 is reached, 51 recalls of 101; of one object all are."""
    truth = truth_of(thing(), thing(image=2))
    lost = 50 / 101
    analysis = analyze_errors(truth, [found(0.9)])
    check(analysis, 1 - lost, missed=(lost, 1), false_negatives=(lost, 1))


def test_an_object_is_given_once_whatever_the_errors_are() -> None:
    """The dog is a cat at 0.9 and a dog at IoU 0.4 at 0.8: fixing the place finds it no more.

    AP of dogs is 0 (cats do not count, there are none), and 1 only with the class fixed. The object
    is the target of both, not missed.
    """
    results = [found(0.9), found(0.8, DOG, percent=40)]
    losses = {"false_positives": (0.0, 2), "false_negatives": (0.0, 1)}
    analysis = analyze_errors(truth_of(thing(DOG)), results)
    # The class fixed, the better one is right and the other one wrong after it: AP 1.
    check(analysis, 0.0, classification=(1.0, 1), localization=(0.0, 1), **losses)
    results[1]["score"] = 0.95
    analysis = analyze_errors(truth_of(thing(DOG)), results)
    check(analysis, 0.0, classification=(0.0, 1), localization=(1.0, 1), **losses)


def test_a_found_object_is_not_given_again() -> None:
    """A second cat on the dog that is found, before the right one of another image.

    AP of cats is 1/2, without the wrong one 1; dogs 1: 3/4. It is a wrong class, not a duplicate.
    """
    truth = truth_of(thing(DOG), thing(image=2))
    results = [found(0.95, DOG), found(0.9), found(0.8, image=2)]
    analysis = analyze_errors(truth, results)
    check(analysis, 0.75, classification=(0.25, 1), false_positives=(0.25, 1))


@pytest.mark.parametrize(
    ("percent", "kind"),
    [(9.5, "background"), (10, "localization"), (49.5, "localization"), (50, None)],
)
def test_where_kinds_begin(percent: float, kind: str | None) -> None:
    analysis = analyze_errors(truth_of(thing()), [found(0.9, percent=percent)])
    assert [name for name, loss in analysis.errors.items() if loss.count and name != "missed"] == [
        *([kind] if kind else [])
    ]
    # Of another class, 0.1 is still background.
    other = analyze_errors(truth_of(thing(DOG)), [found(0.9, percent=percent)])
    expected = {10: "background", 49.5: "both", 50: "classification"}.get(percent, "background")
    assert other.errors[expected].count == 1


def test_a_second_detection_of_just_half_is_one_of_place() -> None:
    """IoU 0.5 of its class passes for a wrong place where another one took the object."""
    analysis = analyze_errors(truth_of(thing()), [found(0.9), found(0.8, percent=50)])
    check(analysis, 1.0, localization=(0.0, 1), false_positives=(0.0, 1))


def test_crowds_and_difficult_objects_are_not_to_be_found() -> None:
    """A crowd excuses any number that lie in it, a difficult object one; no kind costs anything."""
    crowd = {"iscrowd": 1, "left": 300}
    truth = truth_of(thing(), thing(**crowd), thing(image=2, difficult=1))
    inside = [found(0.95, left=300, percent=50), found(0.9, left=300, percent=30)]
    results = [*inside, found(0.85, image=2), found(0.8)]
    check(analyze_errors(truth, results), 1.0, background=(0.0, 3))
    # A second one on the difficult object, and one of another class in the crowd, are wrong.
    again = [*results, found(0.82, image=2, percent=90), found(0.5, DOG, left=300)]
    losses = {"background": (0.5, 5), "false_positives": (0.5, 2)}
    check(analyze_errors(truth, again), 0.5, **losses)


def test_what_a_crowd_excuses_may_be_put_right() -> None:
    """A detection inside a crowd of its class is the best one of an object, at IoU 0.4 of it."""
    truth = truth_of(thing(), thing(iscrowd=1))
    analysis = analyze_errors(truth, [found(0.9, percent=40)])
    check(analysis, 0.0, localization=(1.0, 1), false_negatives=(1.0, 1))


def test_the_hundred_best_of_an_image_are_looked_at() -> None:
    wrong = [found(0.5 + number / 1000, DOG, left=300) for number in range(100)]
    truth = truth_of(thing(), thing(image=2))
    analysis = analyze_errors(truth, [found(0.4), *wrong, found(0.3, image=2)])
    assert analysis.errors["background"].count == 100
    assert analysis.ap50 == pytest.approx(51 / 101)
    assert analysis.errors["missed"].dap == pytest.approx(50 / 101)
    assert analysis.errors["missed"].count == 1


def test_without_detections_all_is_missed() -> None:
    """No class has an object left or a detection: nothing is wrong any more, AP 1."""
    analysis = analyze_errors(truth_of(thing(), thing(DOG)), [])
    check(analysis, 0.0, missed=(1.0, 2), false_negatives=(1.0, 2))


def test_without_objects_nothing_is_lost() -> None:
    analysis = analyze_errors(truth_of(), [found(0.9), found(0.8, DOG)])
    check(analysis, -1.0, background=(0.0, 2), false_positives=(0.0, 2))
    assert [each.ap50 for each in analysis.classes] == [-1.0, -1.0]


def test_nothing_at_all() -> None:
    nothing: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    check(analyze_errors(nothing, []), -1.0)
    assert analyze_errors(nothing, []).classes == ()


def test_a_class_without_objects_is_not_averaged() -> None:
    """As in COCO's AP50; its detections are wrong all the same."""
    truth, results = truth_of(thing()), [found(0.9), found(0.95, DOG, left=300)]
    analysis = analyze_errors(truth, results)
    check(analysis, 1.0, background=(0.0, 1), false_positives=(0.0, 1))
    assert evaluate(truth, results).summary["AP50"] == pytest.approx(1.0)


def test_some_images() -> None:
    truth = truth_of(thing(), thing(image=2), images=3)
    analysis = analyze_errors(truth, [found(0.9), found(0.8, image=2, left=300)], image_ids=[1, 3])
    check(analysis, 1.0)
    assert analysis.images == 2


def test_files_contents_and_columns_are_the_same(tmp_path: Path) -> None:
    truth, results = truth_of(thing(), thing(DOG, image=2)), [found(0.9), found(0.8, image=2)]
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    expected = analyze_errors(truth, results)
    assert analyze_errors(*paths) == expected
    assert analyze_errors(*map(str, paths)) == expected
    assert analyze_errors(ground_truth_of(truth), results_of(results)) == expected
    assert json.loads(json.dumps(expected.as_dict())) == expected.as_dict()


def test_json_has_every_number() -> None:
    truth = truth_of(thing(), thing(DOG, image=2))
    content = analyze_errors(truth, [found(0.9), found(0.8, image=2)]).as_dict()
    keys = ["ap50", "images", "errors", "false_positives", "false_negatives"]
    assert list(content) == [*keys, "classes", "confusions"]
    assert content["errors"]["classification"] == {"dap": pytest.approx(0.5), "count": 1}
    assert content["false_negatives"] == {"dap": pytest.approx(0.5), "count": 1}
    assert content["confusions"] == [{"true": "dog", "predicted": "cat", "count": 1}]
    assert content["classes"][1]["errors"]["classification"]["dap"] == pytest.approx(1)
    own = ["category_id", "name", "objects", "ap50", "errors", "false_positives", "false_negatives"]
    assert list(content["classes"][0]) == own


def test_names_that_classes_share() -> None:
    truth = truth_of(thing(DOG))
    truth["categories"] = [{"id": CAT, "name": "pet"}, {"id": DOG, "name": "pet"}]
    analysis = analyze_errors(truth, [found(0.9)])
    assert analysis.confusions == (Confusion("pet (5)", "pet (3)", 1),)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (found(0.9, image=9), "image id 9"),
        (found(np.nan), "finite"),
        ({"image_id": 1}, "category_id"),
    ],
)
def test_mistakes(result: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        analyze_errors(truth_of(thing()), [result])
