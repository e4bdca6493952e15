import numpy as np

from mnv2_dense.pages.charts import COLORS
from mnv2_dense.pages.markup import page
from mnv2_dense.reporting.precision_recall import FAINT_CLASSES, draw_curves
from tests.pages.parsing import Page


def draw(precision: np.ndarray) -> Page:
    names = [f"class {number}" for number in range(precision.shape[1])]
    return Page(page("curves", "", draw_curves(precision, names, 0.75)))


def constant(*values: float) -> np.ndarray:
    return np.repeat(np.array([values]), 101, axis=0)


def test_the_mean_is_over_classes_with_objects() -> None:
    drawn = draw(constant(1.0, -1.0, 0.5))
    starts = [line["points"].split()[0] for line in drawn.all("polyline")]
    assert starts == ["50,53.8", "50,10", "50,97.5"]
    assert {"IoU 0.75", "AP 0.750", "mean over classes", "class 0", "class 2"} <= set(drawn.texts)
    assert "class 1" not in drawn.texts


def test_many_classes_are_gray_and_very_many_left_out() -> None:
    gray = draw(constant(*[0.5] * COLORS))
    assert len(gray.all("polyline", "faint")) == COLORS
    assert "AP 0.500; gray: every class" in gray.texts
    assert len(draw(constant(*[0.5] * (FAINT_CLASSES + 1))).all("polyline")) == 1


def test_a_single_class_is_the_mean_and_none_is_said() -> None:
    assert len(draw(constant(0.5)).all("polyline")) == 1
    assert "no objects" in draw(constant(-1.0)).texts
