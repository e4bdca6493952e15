import numpy as np
import pytest

from mnv2_dense.coco_evaluation.measuring import Measured
from mnv2_dense.coco_evaluation.options import Options
from mnv2_dense.coco_evaluation.summary import average, summarize, summarize_classes, unique_names
from mnv2_dense.coco_evaluation.tables import CLASS_KEYS, SUMMARY_KEYS

NAMES = {3: "cat", 7: "dog"}


def measured(options: Options) -> Measured:
    """Values that say where they stand: IoU threshold, class, size and number of detections."""
    shape = (len(options.iou_thresholds), 1, 2, len(options.area_ranges), 3)
    thresholds, _, classes, sizes, limits = np.indices(shape)
    precision = thresholds / 100 + classes / 10 + sizes / 1000 + limits / 10000
    return Measured(precision, precision[:, 0] / 2)


def test_each_number_is_of_its_axis() -> None:
    options = Options()
    summary = summarize(measured(options), options)
    assert tuple(summary) == SUMMARY_KEYS
    # On average the threshold is 4.5 of 10 and the class 0.5 of 2.
    assert summary["mAP"] == pytest.approx(0.045 + 0.05 + 0.0002)
    assert summary["AP50"] == pytest.approx(0.05 + 0.0002)
    assert summary["AP75"] == pytest.approx(0.05 + 0.05 + 0.0002)
    assert summary["APl"] == pytest.approx(summary["mAP"] + 0.003)
    assert summary["AR1"] == pytest.approx((0.045 + 0.05) / 2)
    assert summary["AR100"] == pytest.approx((0.045 + 0.05 + 0.0002) / 2)
    assert summary["ARs"] == pytest.approx((0.045 + 0.05 + 0.0012) / 2)


def test_classes_are_named_and_apart() -> None:
    options = Options()
    found = summarize_classes(measured(options), NAMES, options)
    assert [tuple(values) for values in found.values()] == [CLASS_KEYS, CLASS_KEYS]
    assert found["cat"]["AP"] == pytest.approx(0.045 + 0.0002)
    assert found["dog"]["APm"] == pytest.approx(0.045 + 0.1 + 0.0022)
    assert found["dog"]["AR100"] == pytest.approx((0.045 + 0.1 + 0.0002) / 2)
    same = summarize_classes(measured(options), dict.fromkeys(NAMES, "pet"), options)
    assert list(same) == ["pet (3)", "pet (7)"]


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        ({1: "a", 3: "a", 5: "a (3)"}, ["a (1)", "a (3) (3)", "a (3)"]),
        ({1: "a (3)", 3: "a", 4: "a", 5: "a (3)"}, ["a (3) (1)", "a (3)", "a (4)", "a (3) (5)"]),
    ],
)
def test_no_class_is_lost_to_a_name_that_looks_like_a_key(
    categories: dict[int, str], names: list[str]
) -> None:
    assert unique_names(categories) == names


def test_what_is_undefined_is_left_out_of_the_average() -> None:
    assert average(np.array([-1.0, 0.25, 0.75, -1])) == 0.5
    assert average(np.array([-1.0])) == average(np.zeros(0)) == -1


def test_other_options_leave_numbers_undefined_or_called_otherwise() -> None:
    options = Options(
        iou_thresholds=(0.3, 0.75), max_detections=(5, 20, 300), area_ranges={"small": (0, 9)}
    )
    summary = summarize(measured(options), options)
    assert [key for key in summary if key.startswith("AR")][:3] == ["AR5", "AR20", "AR300"]
    undefined = {key for key, value in summary.items() if value == -1}
    everywhere = {"mAP", "AP50", "AP75", "AR5", "AR20", "AR300"}
    assert undefined == everywhere | {"APm", "APl", "ARm", "ARl"}
    assert summary["APs"] == pytest.approx(0.005 + 0.05 + 0.0002)
    assert summarize_classes(measured(options), NAMES, Options(class_blind=True)) == {}
