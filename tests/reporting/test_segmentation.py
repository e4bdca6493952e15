from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnv2_dense.reporting.segmentation import draw_segmentation, read_picture_scores
from mnv2_dense.segmentation.scoring import evaluate
from tests.reporting.scenes import SCRIPT, show


def metrics_of(names: list[str]) -> dict[str, Any]:
    matrix = np.array([[6, 2, 0], [0, 8, 0], [0, 0, 0]])
    return evaluate(matrix, names).as_dict()


def test_the_numbers_and_the_matrix() -> None:
    drawn = show(*draw_segmentation(metrics_of(["sky", "cat", "dog"])))
    assert [each["id"] for each in drawn.all("section")] == ["scores", "classes", "confusion"]
    texts = drawn.texts
    tiles = texts.index("mIoU")
    assert texts[tiles : tiles + 6] == [
        *("mIoU", "0.775", "pixel accuracy", "0.875", "frequency-weighted IoU", "0.775")
    ]
    assert "mIoU over the 2 of 3 classes that are in it." in drawn.text
    start = texts.index("class")
    assert texts[start + 5 : start + 20] == [
        *("cat", "0.800", "0.800", "1.000", "50.0%"),
        *("sky", "0.750", "1.000", "0.750", "50.0%"),
        *("dog", "-", "-", "-", "0.0%"),
    ]
    assert [each.get("class") for each in drawn.all("td")][-12:-9] == [
        *("right level-8", "wrong level-2", None)
    ]


def test_names_of_classes_are_no_markup() -> None:
    drawn = show(*draw_segmentation(metrics_of([SCRIPT, "\0</td>", "b" * 1000])))
    assert not drawn.all("script")
    assert drawn.texts.count(SCRIPT) == 4


@pytest.mark.parametrize("matrix", [None, [[1]], "x", [[1, 2], [3]], [[2.0**80] * 3] * 3])
def test_a_damaged_matrix_is_left_out(matrix: object) -> None:
    metrics = {**metrics_of(["a", "b", "c"]), "confusion_matrix": matrix}
    drawn = show(*draw_segmentation(metrics))
    assert [each["id"] for each in drawn.all("section")] == ["scores", "classes"]


def test_scores_of_pictures_are_read(tmp_path: Path) -> None:
    path = tmp_path / "picture_scores.csv"
    path.write_bytes(b'picture,mIoU\na,0.5\n"b, c",1\nvoid,\n\xff.png,0.25\n')
    scores = read_picture_scores(path)
    assert scores == {"a": (0.5, None), "b, c": (1.0, None), "\udcff.png": (0.25, None)}
    path.write_text("picture,mIoU,classes\na,0.5,3\nvoid,,0\n")
    assert read_picture_scores(path) == {"a": (0.5, 3)}


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "a,b\n", "picture,mIoU\na,x\n", "picture,mIoU\na\n", "picture,mIoU\n\n"),
        *("picture,mIoU\na,nan\n", "picture,mIoU\na,5\n", "picture,mIoU\na,0.5,1,1\n"),
        *("picture,mIoU,classes\na,0.5,0\n", "picture,mIoU,classes\na,0.5,x\n"),
    ],
)
def test_scores_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "picture_scores.csv"
    if text is not None:
        path.write_text(text)
    assert read_picture_scores(path) is None
