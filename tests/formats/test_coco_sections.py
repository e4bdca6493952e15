"""COCO files that are broken, cut, or of odd values."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv2_dense.errors import UserError
from mnv2_dense.formats import coco_sections
from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.formats.coco import read_coco
from tests.detection.coco_folder import Folder, content

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([math.nan, math.inf, -1, 2**63, 10**400, 1.5, 404]),
    st.text(max_size=3),
    st.recursive(
        st.integers(-3, 3), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)
KEYS = ("id", "image_id", "category_id", "bbox", "iscrowd", "area", "difficult", "segmentation")


def read(folder: Folder, text: str, *, whole: bool = False) -> BoxSet:
    folder.file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return read_coco(folder.file, folder.images, whole=whole)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@settings(
    max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["annotations", "images", "categories", "info"]),
    st.sampled_from([*KEYS, "file_name", "width", "name", ""]),
    ODD,
    st.integers(0, 2000),
)
def test_nothing_raises_but_a_user_error(
    folder: Folder, section: str, key: str, value: object, cut: int
) -> None:
    data: dict[str, Any] = content()
    if key and section in data:
        data[section][0][key] = value
    else:
        data[section] = value
    text = json.dumps(data)
    for whole in (False, True):
        message = f"{folder.file}: one line"
        try:
            boxes = read(folder, text[: cut or None] if cut < 500 else text, whole=whole)
        except UserError as error:
            message = str(error)
        else:
            assert all(isinstance(entry["id"], int) for entry in boxes.annotations)
        assert str(folder.file) in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [], "images": []}', "the key 'images' is given twice"),
        ('{"\\u001b[2J": 1, "\\u001b[2J": 2}', r"the key '\x1b[2J' is given twice"),
        ('{"images": [1, 2,', "not complete JSON, perhaps cut short (Expecting value, line 1"),
        ('{"images": [{"id": 1},]}', "Expecting value"),
        ('{"images": [{"id": 1} 2]}', "Expecting ','"),
        ('{"images": ' + "[" * 100_000, "cannot be read as JSON (maximum recursion"),
        ('{"annotations": {"1": 2}}', "'annotations' is no list"),
        (json.dumps(content()) + "x", "Extra data"),
        ('{"info": 1,\n "images" 3}', "line 2 column 11"),
    ],
)
def test_broken_files_are_refused_in_one_line(folder: Folder, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(folder, text)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_long_lists_are_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(coco_sections.MAX_ENTRIES, "images", 2)
    with pytest.raises(UserError, match="more than 2 entries in 'images'; split the file"):
        read(folder, json.dumps(content()))
