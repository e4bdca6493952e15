import json

from mnv2_dense.formats.problems import Level, Problem
from mnv2_dense.inspection.report import Histogram, Report
from mnv2_dense.inspection.summary import seconds_per_1000, summarize, to_json, write_section


def report() -> Report:
    found = Report("my.yaml", "detection", {"root": "data/mine", "train_images": "images"})
    found.facts = {"train": {"images": 1500.0, "mean best IoU": 0.5}, "val": {"images": 500.0}}
    found.problems = [
        Problem("crowd", Level.NOTE, "crowds:", "7"),
        *(
            Problem("missing_picture", Level.ERROR, "gone:", f"{n}.jpg", "; copy it")
            for n in range(9)
        ),
    ]
    found.histograms = [
        Histogram(
            "Boxes by class", ["cat", "dog"], {"train": [3, 1], "val": [0, 0]}, ordered=False
        ),
        Histogram("Sizes", ["< 1", "1 - 2", ">= 2"], {"train": [0, 4, 0], "val": [0, 0, 0]}),
    ]
    found.seconds = 5.0
    return found


def test_worst_problems_stand_first_with_their_first_places() -> None:
    text = summarize(report())
    error = "ERROR 9 x missing_picture: gone: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 4 more"
    assert text.index(error) < text.index("NOTE crowd: crowds: 7")
    assert "\n    -> copy it\n" in text
    assert "unusable: training refuses these data (9 errors, 0 problems, 1 note)" in text
    assert text.endswith("5.0 s, 2.5 s per 1,000 images")


def test_facts_and_shares_by_split() -> None:
    lines = summarize(report()).splitlines()
    assert next(line for line in lines if "images  " in line).split() == ["images", "1,500", "500"]
    assert next(line for line in lines if "best" in line).split()[-2:] == ["0.5000", "-"]
    (cat,) = (line for line in lines if line.startswith("  cat"))
    assert cat.split()[:4] == ["cat", "3", "75.0%", 12 * "#"]


def test_empty_ends_of_histograms_are_left_out() -> None:
    text = summarize(report())
    assert "1 - 2" in text
    assert ">= 2" not in text


def test_many_classes_are_cut() -> None:
    found = report()
    names = [f"class{number}" for number in range(100)]
    found.histograms = [
        Histogram("Boxes by class", names, {"train": list(range(100))}, ordered=False)
    ]
    text = summarize(found)
    assert "class99 " in text
    assert "class0 " in text
    assert "class50 " not in text
    assert "and 70 more in report.json" in text


def test_the_section_is_yaml() -> None:
    assert write_section(report().data) == "data:\n  root: data/mine\n  train_images: images"


def test_json_holds_every_place() -> None:
    found = json.loads(json.dumps(to_json(report())))
    assert (found["level"], found["exit_code"]) == ("error", 2)
    assert len(found["problems"]) == 10
    assert found["problems"][0]["level"] == "note"
    assert found["seconds_per_1000_images"] == 2.5


def test_nothing_read_has_no_rate() -> None:
    empty = Report("x", "detection", {})
    assert seconds_per_1000(empty) is None
    assert "per 1,000" not in summarize(empty)
