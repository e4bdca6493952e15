import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from mnv2_dense.commands.prediction_kinds import Prediction, Source, attempt, counted
from mnv2_dense.errors import UserError
from tests.commands.shade_jobs import draw
from tests.commands.shades import Shades


def fail(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize("error", [UserError("broken"), PermissionError(errno.EACCES, "no")])
def test_a_failure_of_one_picture_is_handed_back(error: Exception) -> None:
    assert attempt(lambda: fail(error)) is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_fails_for_all(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        attempt(lambda: fail(OSError(number, os.strerror(number))))


def test_a_bug_is_no_failure_of_a_picture() -> None:
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: fail(ZeroDivisionError()))


def test_pictures_shown_together_each_have_their_own_end(tmp_path: Path) -> None:
    (tmp_path / "filled").mkdir()
    pictures = [draw(tmp_path / f"{name}.png", 2) for name in "abc"]
    pictures[1].write_bytes(b"broken")
    sources = [Source(path, number, path.stem) for number, path in enumerate(pictures)]
    first, second, third = Shades().predict_together(sources, tmp_path)
    assert isinstance(second, UserError)
    assert str(pictures[1]) in str(second)
    for source, found in ((sources[0], first), (sources[2], third)):
        assert isinstance(found, Prediction)
        assert [each["image_id"] for each in found.records] == [source.number] * 2
    assert {path.name for path in (tmp_path / "filled").iterdir()} == {"a.png", "c.png"}


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures")]
)
def test_one_is_said_in_the_singular(number: int, words: str) -> None:
    assert counted(number, "picture") == words
    boxes = words.replace("pictures", "boxes").replace("picture", "box")
    assert counted(number, "box", "boxes") == boxes
