"""What annotations keep, and what they take."""

import gc
import json
import tracemalloc
from pathlib import Path

import pytest

from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from mnv2_dense.formats.numbers import BEYOND
from tests.detection.coco_folder import Folder, annotation, content


def read(folder: Folder, text: str, *, whole: bool = False) -> BoxSet:
    folder.file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return read_coco(folder.file, folder.images, whole=whole)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.long
def test_memory_does_not_hold_the_outlines(folder: Folder) -> None:
    outline = [[number + 1 / 3 for number in range(2000)]]
    data = content()
    data["annotations"] = [
        {**annotation(number, 5, 1, 0, 0, 9, 9), "segmentation": outline} for number in range(100)
    ]
    text = json.dumps(data)
    tracemalloc.start()
    boxes = read(folder, text)
    gc.collect()  # the reader refers to itself
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(boxes.annotations) == 100
    assert left < len(text) / 10
    assert peak < len(text) * 2
    assert "segmentation" not in boxes.annotations[0]
    assert read(folder, text, whole=True).annotations[7]["segmentation"] == outline


def test_a_number_of_too_many_digits_for_python(folder: Folder) -> None:
    """In a field that is kept, and that nobody looks at."""
    data = content()
    data["annotations"][0]["score"] = "MARK"
    boxes = read(folder, json.dumps(data).replace('"MARK"', "9" * 5000), whole=True)
    assert boxes.annotations[0]["score"] == BEYOND
    assert boxes.problems == []
