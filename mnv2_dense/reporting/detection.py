"""A detector's part of the page: COCO's numbers, and where they are lost."""

from typing import Any
from xml.etree.ElementTree import Element

from mnv2_dense.coco_evaluation.evaluation import COCO
from mnv2_dense.error_analysis import ClassErrors, ErrorAnalysis
from mnv2_dense.pages.markup import element
from mnv2_dense.reporting.findings import Findings
from mnv2_dense.reporting.matrix import Confusions, draw_matrix
from mnv2_dense.reporting.outcomes import MATCH_IOU, THRESHOLDS, f1_of
from mnv2_dense.reporting.parts import (
    Cell,
    bar,
    card,
    choose_rows,
    hint,
    score,
    score_bar,
    section,
    table,
    tiles,
)
from mnv2_dense.reporting.precision_recall import draw_curves

_BACKGROUND = "nothing there"
_MISSED = "not found"
_SIZES = {
    "all": ("mAP", "AR100", ""),
    "small": ("APs", "ARs", "below 32² pixels"),
    "medium": ("APm", "ARm", "32² to 96² pixels"),
    "large": ("APl", "ARl", "above 96² pixels"),
}
_KINDS = {
    "classification": "right place, wrong class",
    "localization": "right class, IoU 0.1 to 0.5",
    "both": "wrong class, IoU 0.1 to 0.5",
    "duplicate": "an object that a better detection has",
    "background": "on no object",
    "missed": "objects that nothing comes near to",
}


def draw_detection(metrics: dict[str, Any], findings: Findings | None) -> list[Element]:
    """The sections of a detector.

    Args:
        metrics: Of its evaluation, as `metrics.json` has them.
        findings: None where detections or ground truth are not at hand.
    """
    parts = [_scores(metrics, findings), _classes(metrics, findings)]
    if findings is not None:
        parts += [_curves(findings), _errors(findings.errors), _confusion(findings)]
    return parts


def _scores(metrics: dict[str, Any], findings: Findings | None) -> Element:
    shown = [(name, score(metrics.get(name))) for name in ("mAP", "AP50", "AP75", "AR100")]
    parts = [tiles(shown)]
    if findings is not None:
        parts.append(_operating_point(findings))
    objects: dict[str, int] = {} if findings is None else findings.objects
    rows = (
        (
            f"{name} ({meaning})" if meaning else name,
            score_bar(metrics.get(ap)),
            score_bar(metrics.get(ar), 1),
            f"{objects[name]:,}" if name in objects else "-",
        )
        for name, (ap, ar, meaning) in _SIZES.items()
    )
    heads = ("objects by size", "AP, IoU 0.50 to 0.95", "AR, 100 detections", "objects")
    limits = ", ".join(f"AR{n} {score(metrics.get(f'AR{n}'))}" for n in (1, 10, 100))
    counted = metrics.get("images")
    told = f"Over {counted:,} pictures. " if isinstance(counted, int) else ""
    note = hint(
        f"{told}COCO's twelve numbers, as pycocotools computes them; with 1, 10 and 100 detections "
        f"a picture: {limits}. A dash: no objects of that size."
    )
    return section("Scores", *parts, card(table(heads, rows, "facts stacked"), note), key="scores")


def _operating_point(findings: Findings) -> Element:
    right, wrong, missed = findings.outcomes.total(findings.threshold)
    if not right:
        return hint(
            f"No detection with a score of {THRESHOLDS[0]} and above is right at IoU {MATCH_IOU}, "
            "so that no threshold of the score is the best one: the confusion matrix and the "
            f"pictures are at {findings.threshold:.2f}."
        )
    precision, recall = right / (right + wrong), right / (right + missed)
    f1 = f1_of(right, wrong, missed) or 0.0
    return hint(
        f"At a score of {findings.threshold:.2f} and above, the threshold of the highest F1 at IoU "
        f"{MATCH_IOU}: F1 {f1:.3f}, precision {precision:.3f}, recall {recall:.3f} "
        f"({right:,} right, {wrong:,} wrong, {missed:,} not found). The confusion matrix and the "
        "pictures are at this threshold."
    )


def _classes(metrics: dict[str, Any], findings: Findings | None) -> Element:
    """AP of every class, the best one first."""
    scores = {name: own for name, own in metrics["per_class"].items() if isinstance(own, dict)}
    shown, note = choose_rows({name: own.get("AP") for name, own in scores.items()})
    errors = () if findings is None else findings.errors.classes
    known = {each.name: each for each in errors}
    keys = ("AP50", "AP75", "APs", "APm", "APl", "AR100")
    rows = [
        (
            name,
            score_bar(scores[name].get("AP")),
            *(score(scores[name].get(key)) for key in keys),
            *_class_errors(known.get(name)),
        )
        for name in shown
    ]
    heads = ("class", "AP", *keys, "objects", "costs most AP50")
    words = f"The best class first; a dash: no objects.{note}"
    drawn = table(heads, rows, "facts classes-table")
    return section("AP per class", card(drawn, hint(words)), key="classes")


def _class_errors(found: ClassErrors | None) -> tuple[str, str]:
    """Number of objects, and the kind of error that costs most."""
    if found is None:
        return "-", "-"
    kind = max(found.errors, key=lambda name: found.errors[name].dap)
    cost = found.errors[kind].dap
    return f"{found.objects:,}", f"{kind} {cost:.3f}" if cost >= 0.0005 else "-"


def _curves(findings: Findings) -> Element:
    precision = findings.evaluation.precision[..., list(COCO.area_ranges).index("all"), -1]
    charts = [
        draw_curves(precision[COCO.iou_thresholds.index(iou)], findings.names, iou)
        for iou in (0.5, 0.75)
    ]
    panels = element("div", *charts, class_="panels")
    return section("Precision and recall", card(panels), key="precision-recall")


def _errors(errors: ErrorAnalysis) -> Element:
    """What each kind of error costs."""
    most = max((loss.dap for loss in errors.errors.values()), default=0.0) or 1.0
    rows: list[tuple[Cell, ...]] = [
        (
            f"{kind}: {_KINDS.get(kind, '')}",
            bar(loss.dap / most, f"{loss.dap:.3f}", 1),
            f"{loss.count:,}",
        )
        for kind, loss in errors.errors.items()
    ]
    for name, loss in (
        ("all wrong detections", errors.false_positives),
        ("all objects not found", errors.false_negatives),
    ):
        rows.append((name, f"{loss.dap:.3f}", f"{loss.count:,}"))
    shown = table(("error", "AP50 it costs", "number"), rows, "facts stacked")
    note = hint(
        f"How much AP50, which is {score(errors.ap50)}, would rise if only these errors were put "
        "right (TIDE, arXiv 2008.08115), over detections of all scores. The parts need not add up "
        "to what is missing."
    )
    return section("Where AP is lost", card(shown, note), key="errors")


def _confusion(findings: Findings) -> Element:
    matrix = Confusions(
        findings.confusion,
        [*findings.names, _BACKGROUND],
        [*findings.names, _MISSED],
        "object",
        with_nothing=True,
    )
    note = (
        f"Detections with a score of {findings.threshold:.2f} and above, each on the object of "
        f"whatever class that it overlaps most, with an IoU of {MATCH_IOU} or more. The last row: "
        "detections that got no object, as there is none, the IoU is lower, or a better detection "
        "has it."
    )
    return section("Confusion matrix", card(hint(note), *draw_matrix(matrix)), key="confusion")
