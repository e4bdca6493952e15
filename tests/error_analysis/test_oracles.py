"""Random scenes, with ties, crowds and difficult objects."""

import numpy as np
import pytest

from mnv2_dense.coco_evaluation import Options, evaluate
from mnv2_dense.error_analysis.analysis import analyze_errors
from mnv2_dense.error_analysis.arranging import arrange
from mnv2_dense.error_analysis.diagnosis import CLASSIFICATION, diagnose
from mnv2_dense.error_analysis.oracles import Oracles
from mnv2_dense.error_analysis.precision import Outcome, measure
from tests.coco_evaluation.scenes import random_scene
from tests.error_analysis.plain import analyze

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plain_program_finds_the_same(seed: int) -> None:
    truth, results, image_ids, _ = random_scene(seed)
    ap50, losses = analyze(truth, results, image_ids.tolist())
    found = analyze_errors(truth, results, image_ids=image_ids)
    positives, negatives = found.false_positives, found.false_negatives
    ours = {**found.errors, "false_positives": positives, "false_negatives": negatives}
    assert found.ap50 == pytest.approx(ap50, abs=1e-12)
    assert {name: loss.count for name, loss in ours.items()} == {
        name: count for name, (_, count) in losses.items()
    }
    expected = {name: dap if ap50 >= 0 else 0.0 for name, (dap, _) in losses.items()}
    assert {name: loss.dap for name, loss in ours.items()} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_ap_is_cocos_and_no_error_is_worth_having(seed: int) -> None:
    truth, results, image_ids, _ = random_scene(seed)
    found = analyze_errors(truth, results, image_ids=image_ids)
    coco = evaluate(truth, results, image_ids=image_ids, options=Options())
    assert found.ap50 == pytest.approx(coco.summary["AP50"], abs=1e-12)
    classes = [each.ap50 for each in found.classes]
    assert classes == pytest.approx([each["AP50"] for each in coco.per_class.values()], abs=1e-12)
    for each in (found, *found.classes):
        losses = [*each.errors.values(), each.false_positives, each.false_negatives]
        assert all(0 <= loss.dap <= 1 for loss in losses)
        assert all(each.ap50 + loss.dap <= 1 for loss in losses if each.ap50 >= 0)
    assert sum(each.count for each in found.confusions) == found.errors["classification"].count


@pytest.mark.parametrize("seed", SEEDS)
def test_only_without_all_errors_nothing_is_lost(seed: int) -> None:
    scene = arrange(*random_scene(seed)[:2], None)
    found = diagnose(scene)
    oracles = Oracles(scene, found)
    labels, classes = scene.labels.copy(), oracles.objects > 0
    given = found.granted & (found.kinds == CLASSIFICATION)
    labels[given] = scene.object_labels[found.targets[given]]
    kept = found.hits | found.granted
    order = np.argsort(-scene.scores, kind="stable")
    order = order[kept[order]]
    left = np.bincount(scene.object_labels[scene.counts & ~found.missed], minlength=len(classes))
    fixed = Outcome(labels[order], kept[order], left)
    assert measure(fixed).average(classes) == pytest.approx(1, abs=1e-12)
    without = oracles.fix_false_positives()._replace(objects=oracles.fix_false_negatives().objects)
    assert measure(without).average(classes) == pytest.approx(1, abs=1e-12)
    assert found.unfound.sum() == found.missed.sum() + found.granted.sum()
    assert not (found.granted & found.hits).any()
