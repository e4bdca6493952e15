from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.formats.recognition import recognise
from tests.formats.test_recognition import touch


@pytest.mark.parametrize(
    ("names", "text", "words"),
    [
        (["a.json"], b"", r"a\.json \(empty file\)"),
        (["deep/a.json"], b'{"images": [', r"deep/a\.json \(no 'annotations' in it; cut short"),
        (["a.json"], b"\xff\xfe\x00", r"a\.json \(not in UTF-16"),
        (
            ["a.json"],
            b'{"images": [], "annotations": [], "categories": []}',
            r"a\.json \(no file_name",
        ),
        (
            ["images/a.jpg", "masks/b.png"],
            b"",
            r"images/ and masks/ \(no picture has a mask .*a\.jpg, b\.png; data\.image_suffix",
        ),
        (["classes.txt", "images/a.jpg"], b"", r"classes\.txt \(no picture in images/"),
        (["Annotations/a.xml"], b"", r"Annotations/\*\.xml \(no pictures in JPEGImages/"),
    ],
)
def test_what_was_found_and_why_it_was_not_taken(
    tmp_path: Path, names: list[str], text: bytes, words: str
) -> None:
    touch(tmp_path, *names)
    (tmp_path / names[0]).write_bytes(text)
    with pytest.raises(UserError, match=rf"Found, but not usable: {words}.*Give the data set's"):
        recognise(tmp_path)
