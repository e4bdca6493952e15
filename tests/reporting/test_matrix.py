import numpy as np

from mnv2_dense.pages.markup import element, page
from mnv2_dense.reporting.matrix import MOST_CLASSES, NUMBERED, Confusions, draw_matrix, row_shares
from tests.pages.parsing import Page


def draw(matrix: Confusions) -> Page:
    return Page(page("matrix", "", element("div", *draw_matrix(matrix))))


def test_rows_are_in_per_cent_of_their_class() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 299]])
    drawn = draw(Confusions(counts, ["a", "b", "none"], ["a", "b", "missed"], "object"))
    texts = drawn.texts
    start = texts.index("true class")
    assert texts[start : start + 5] == ["true class", "a", "b", "missed", "objects"]
    cells = [each.get("class") for each in drawn.all("td")]
    assert cells[:4] == ["right level-8", "wrong level-2", None, "total"]
    assert cells[4:8] == [None, None, None, "total"]
    assert cells[8:] == [
        None,
        None,
        "right level-10",
        "total",
    ]  # A third of a per cent is left out.
    assert texts[start + 5 : start + 9] == ["a", "75", "25", "4"]
    assert "a" in texts[-6:]


def test_the_largest_confusions_are_told() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [4, 0, 4]])
    names = ["a", "b", "c"]
    drawn = draw(Confusions(counts, names, names, "pixel"))
    listed = drawn.texts[drawn.texts.index("Most frequent confusions of classes") :]
    assert listed[1:] == [
        *("c", "→", "a", ": 4 pixels (50.0%)"),
        *("a", "→", "b", ": 1 pixel (25.0%)"),
    ]
    nothing = draw(Confusions(np.eye(2, dtype=np.int64), "ab", "ab", "pixel"))
    assert "Most frequent confusions of classes" not in nothing.texts


def test_confusions_misses_and_detections_of_nothing_are_told_apart() -> None:
    counts = np.array([[3, 1, 90], [0, 0, 1], [0, 9, 0]])
    matrix = Confusions(counts, ["a", "b", "none"], ["a", "b", "missed"], "object")
    listed = draw(matrix._replace(with_nothing=True)).texts
    assert listed[listed.index("Most frequent confusions of classes") :] == [
        *("Most frequent confusions of classes", "a", "→", "b", ": 1 object (1.1%)"),
        *("Most often not found", "a", ": 90 objects (95.7%)", "b", ": 1 object (100.0%)"),
        *("Most detections without an object", "b", ": 9 detections (100.0%)"),
    ]


def test_nothing_is_no_class_and_always_shown() -> None:
    names = [*(f"class {number}" for number in range(MOST_CLASSES + 5)), "none"]
    counts = np.eye(len(names), dtype=np.int64)
    drawn = draw(Confusions(counts, names, names, "object", with_nothing=True))
    assert f"Of {MOST_CLASSES + 5} classes the {MOST_CLASSES} that" in drawn.text
    assert len(drawn.all("tr")) == MOST_CLASSES + 2
    assert "none" in drawn.texts


def test_many_classes_are_dense_and_very_many_chosen() -> None:
    names = [f"class {number}" for number in range(MOST_CLASSES + 5)]
    counts = np.zeros((len(names), len(names)), np.int64)
    counts[-1, 0] = 5
    drawn = draw(Confusions(counts, names, names, "pixel"))
    assert len(drawn.all("tr")) == MOST_CLASSES + 1
    assert drawn.all("table", "dense")
    assert {"class 0", names[-1]} <= set(drawn.texts)
    assert names[-2] not in drawn.texts
    assert f"Of {len(names)} classes the {MOST_CLASSES} that" in drawn.text
    few = draw(
        Confusions(counts[:NUMBERED, :NUMBERED], names[:NUMBERED], names[:NUMBERED], "pixel")
    )
    assert not few.all("table", "dense")


def test_shares_of_an_empty_row_are_zero() -> None:
    assert row_shares(np.array([[1, 3], [0, 0]])).tolist() == [[0.25, 0.75], [0.0, 0.0]]
