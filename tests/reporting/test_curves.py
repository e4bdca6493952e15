from mnv2_dense.reporting.curves import best_step, draw_curves
from mnv2_dense.reporting.log import Log, Series
from tests.pages.parsing import Page
from tests.reporting.scenes import show


def titles(drawn: Page) -> list[str]:
    """The charts by what they say of themselves."""
    return [each["aria-label"] for each in drawn.all("svg") if each.get("role") == "img"]


def test_a_detectors_curves() -> None:
    log = Log(
        {
            "lr-AdamW/pg1": Series([0, 1], [0.1, 0.2]),
            "lr-AdamW/pg2": Series([0, 1], [0.1, 0.2]),
            "train/classification": Series([0, 1], [3.0, 2.0]),
            "train/data_wait": Series([0, 1], [0.25, 0.5]),
            "train/images_per_second": Series([0, 1], [10.0, 12.0]),
            "train/localization": Series([0, 1], [1.0, 0.5]),
            "train/loss": Series([0, 1], [4.0, 2.5]),
            "val/AP50": Series([0, 1], [0.5, 0.4]),
            "val/loss": Series([0, 1], [3.0, 2.0]),
            "val/mAP": Series([0, 1], [0.3, 0.2]),
        },
        [],
    )
    drawn = show(draw_curves(log, "mAP"))
    loss, score, validation, rate, pace, wait = titles(drawn)
    assert loss.startswith("Training loss: loss from 4 to 2.5, between 2.5 and 4; classification")
    assert score.startswith("Validation score: mAP from 0.3 to 0.2")
    assert "; AP50 from 0.5 to 0.4" in score
    assert validation.startswith("Validation loss: ")
    assert rate == "Learning rate: Learning rate from 0.1 to 0.2, between 0.1 and 0.2"
    assert pace.startswith("Images per second: ")
    assert wait.startswith("Share of time waiting for data: ")
    assert "best mAP 0.300, after step 1" in drawn.texts
    table = drawn.texts.index("step", drawn.texts.index("Numbers"))
    assert drawn.texts[table + 4 :][:4] == ["1", "4", "3", "1"]  # Steps count from 1.
    # The axes of measurements begin at zero: half of the largest is in the middle.
    assert drawn.all("polyline")[-1]["points"] == "50,97.5 370,10"


def test_a_loss_of_one_part_is_drawn_once_and_rates_by_group() -> None:
    one = Series([0, 1], [4.0, 2.5])
    log = Log(
        {
            "lr-SGD/pg1": one,
            "lr-SGD/pg2": Series([0, 1], [2.0, 1.0]),
            "train/cross_entropy": one,
            "train/loss": one,
        },
        [],
    )
    drawn = show(draw_curves(log, "mIoU"))
    assert [title.count(" from ") for title in titles(drawn)] == [1, 2]
    assert {"SGD/pg1", "SGD/pg2", "loss"} <= set(drawn.texts)


def test_of_a_joint_run_the_two_losses_are_drawn() -> None:
    boxes, masks = Series([0, 2], [4.0, 2.0]), Series([1, 2], [3.0, 1.0])
    log = Log(
        {
            "train/classification": boxes,
            "train/detection_loss": boxes,
            "train/loss": masks,  # Of a run of an earlier version.
            "train/segmentation_loss": masks,
        },
        [],
    )
    assert titles(show(draw_curves(log, "score"))) == [
        "Training loss: detection_loss from 4 to 2, between 2 and 4; "
        "segmentation_loss from 3 to 1, between 1 and 3"
    ]


def test_nothing_was_logged() -> None:
    assert "Nothing was logged." in show(draw_curves(Log({}, []), "mAP")).texts


def test_the_best_step_is_the_first_of_equal_scores() -> None:
    log = Log({"val/mIoU": Series([4, 9, 14], [0.5, 0.75, 0.75])}, [])
    assert best_step(log, "mIoU") == 9
    assert best_step(log, "mAP") is None
