from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.errors import UserError
from mnv2_dense.exporting.pictures import draw_pictures, read_pictures
from tests.prediction.networks import SIZE, manifest


def test_pictures_are_spread_over_the_folder_and_prepared(tmp_path: Path) -> None:
    for shade in range(0, 100, 10):
        Image.new("RGB", (20, 10), (shade, shade, shade)).save(tmp_path / f"{shade:03d}.png")
    detector = read_pictures(tmp_path, manifest("detection"), 3)
    assert detector.shape == (3, *SIZE, 3)
    assert detector[:, -1, -1, 0].tolist() == [0, 40, 90]
    segmenter = read_pictures(tmp_path, manifest("segmentation"), 100)
    assert len(segmenter) == 10
    assert segmenter[3, 9, 19].tolist() == [30, 30, 30]
    assert segmenter[3, 10, 20].tolist() == [10, 20, 30]  # the mean colour


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        read_pictures(tmp_path, manifest(), 3)


def test_a_picture_that_cannot_be_read_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="none of its pictures can be read"):
        read_pictures(tmp_path, manifest(), 3)
    Image.new("RGB", (20, 10)).save(tmp_path / "b.png")
    caplog.clear()
    assert len(read_pictures(tmp_path, manifest(), 3)) == 1
    assert f"passed over: {tmp_path / 'a.png'}" in caplog.text


def test_drawn_pictures_differ_and_are_always_the_same() -> None:
    first = draw_pictures(manifest(), 3)
    assert first.shape == (3, *SIZE, 3)
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(first, draw_pictures(manifest(), 3))
