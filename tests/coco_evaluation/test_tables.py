from mnv2_dense.coco_evaluation.tables import (
    CLASS_KEYS,
    SUMMARY_KEYS,
    format_classes,
    format_summary,
)


def test_the_twelve_lines_of_pycocotools() -> None:
    lines = format_summary({key: n / 16 for n, key in enumerate(SUMMARY_KEYS)}).splitlines()
    assert len(lines) == 12
    assert lines[1] == (
        " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.062"
    )
    assert lines[7] == (
        " Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets= 10 ] = 0.438"
    )


def test_classes_best_first() -> None:
    rows = {"cat": dict.fromkeys(CLASS_KEYS, 0.25), "a dog": dict.fromkeys(CLASS_KEYS, 0.5)}
    rows["cat"]["APs"] = -1
    assert format_classes(rows).splitlines() == [
        "class     AP   AP50   AP75    APs    APm    APl  AR100",
        "a dog  0.500  0.500  0.500  0.500  0.500  0.500  0.500",
        "cat    0.250  0.250  0.250      -  0.250  0.250  0.250",
    ]
    assert len(format_classes({}).splitlines()) == 1
