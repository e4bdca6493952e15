from typing import Any

import numpy as np

from mnv2_dense.reporting.detection import draw_detection
from tests.reporting.scenes import SCRIPT, findings_of, show


def metrics_of(*names: str) -> dict[str, Any]:
    return findings_of(*names).evaluation.as_dict()


def test_the_numbers_and_where_they_are_lost() -> None:
    drawn = show(*draw_detection(metrics_of("cat", "dog"), findings_of("cat", "dog")))
    keys = [each["id"] for each in drawn.all("section")]
    assert keys == ["scores", "classes", "precision-recall", "errors", "confusion"]
    texts = drawn.texts
    start = texts.index("AP per class")
    head = ["class", "AP", "AP50", "AP75", "APs", "APm", "APl", "AR100", "objects"]
    assert texts[start + 1 : start + 10] == head
    cat, dog = texts.index("cat", start), texts.index("dog", start)
    assert texts[cat + 1 : dog] == ["1.000"] * 4 + ["-", "-", "1.000", "2", "-"]
    assert texts[dog + 1 : dog + 8] == ["0.000"] * 4 + ["-", "-", "0.000"]
    assert "AP50 0.500" not in texts
    assert {"AP 0.500", "missed: objects that nothing comes near to", "not found"} <= set(texts)
    assert "At a score of 0.61 and above" in drawn.text
    assert "F1 0.667, precision 1.000, recall 0.500 (2 right, 0 wrong, 2 not found)" in drawn.text


def test_sizes_have_their_numbers_and_objects() -> None:
    texts = show(*draw_detection(metrics_of("cat", "dog"), findings_of("cat", "dog"))).texts
    small = texts.index("small (below 32² pixels)")
    assert texts[small + 1 : small + 4] == ["0.500", "0.500", "4"]
    assert texts[small + 5 : small + 8] == ["-", "-", "0"]


def test_without_a_hit_no_threshold_is_the_best() -> None:
    findings = findings_of("cat", "dog")
    nothing = findings.outcomes._replace(hits=np.zeros_like(findings.outcomes.hits))
    threshold = nothing.choose_threshold()
    drawn = show(
        *draw_detection(
            metrics_of("cat", "dog"), findings._replace(outcomes=nothing, threshold=threshold)
        )
    )
    assert "No detection with a score of 0.01 and above is right at IoU 0.5" in drawn.text
    assert "pictures are at 0.30." in drawn.text
    assert "highest F1" not in drawn.text


def test_the_last_row_is_of_detections_that_got_no_object() -> None:
    drawn = show(*draw_detection(metrics_of("cat", "dog"), findings_of("cat", "dog")))
    assert "The last row: detections that got no object" in drawn.text
    found = drawn.texts.index("Most often not found")
    assert drawn.texts[found + 1 : found + 3] == ["dog", ": 2 objects (100.0%)"]


def test_cells_name_their_columns_where_there_is_no_room_for_them() -> None:
    drawn = show(*draw_detection(metrics_of("cat", "dog"), None))
    columns = [each["data-column"] for each in drawn.all("td") if "AP75" in each.values()]
    assert columns == ["AP75"] * 2


def test_scores_alone() -> None:
    drawn = show(*draw_detection(metrics_of("cat", "dog"), None))
    assert [each["id"] for each in drawn.all("section")] == ["scores", "classes"]
    assert "Over 2 pictures. COCO's twelve numbers" in drawn.text


def test_names_of_classes_are_no_markup() -> None:
    names = (SCRIPT, "</svg>&amp;", "z" * 1000)
    drawn = show(*draw_detection(metrics_of(*names), findings_of(*names)))
    assert not drawn.all("script")
    assert drawn.texts.count(SCRIPT) >= 4
    assert max(map(len, drawn.texts)) < 500


def test_damaged_numbers_are_dashes() -> None:
    metrics: dict[str, Any] = {
        "mAP": 0.5,
        "AP50": "x",
        "per_class": {"cat": {"AP": None}, "dog": 1},
    }
    drawn = show(*draw_detection(metrics, None))
    assert {"0.500", "-", "cat"} <= set(drawn.texts)
    assert "dog" not in drawn.texts


def test_a_page_of_eighty_classes_is_small() -> None:
    names = [f"class {number}" for number in range(80)]
    findings = findings_of(*names)
    drawn = draw_detection(findings.evaluation.as_dict(), findings)
    assert sum(1 for each in drawn for _ in each.iter()) < 20_000
    assert len(show(*drawn).all("tr")) == 1 + 4 + 1 + 80 + 2 * 21 + 1 + 8 + 1 + 81
