import json
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.recognition import recognise
from tests.formats.test_recognition import DRAWN, keys_of, touch
from tests.formats.three_formats import write_coco


def test_coco_the_reader_is_to_refuse(tmp_path: Path) -> None:
    write_coco(tmp_path)
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "annotations": []}))
    assert keys_of(tmp_path) == DRAWN
    file.write_bytes(json.dumps(content).encode("utf-16"))
    assert keys_of(tmp_path) == DRAWN
    (tmp_path / "images/a.png").unlink()
    assert keys_of(tmp_path) == DRAWN
    content["images"][0]["file_name"] = "ä.png"
    file.write_bytes(json.dumps(content, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(UserError, match=r"annotations\.json: its text is not in UTF-8"):
        recognise(tmp_path)


def test_an_empty_file_beside_a_good_one(tmp_path: Path) -> None:
    write_coco(tmp_path)
    touch(tmp_path, "val.json")
    with pytest.raises(UserError, match=r"val\.json: empty file, beside annotations\.json"):
        recognise(tmp_path)
