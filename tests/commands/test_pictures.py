from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.commands.pictures import write_pictures
from mnv2_dense.errors import UserError


class Numbers:
    """Stands for a column and for an index: picture n is named after n and has its gray."""

    def __len__(self) -> int:
        return 3

    def draw_pair(self, index: object, position: int) -> tuple[str, np.ndarray]:
        assert index is self
        return f"picture {position}", np.full((2, 5, 3), 10 * position, np.uint8)


@pytest.mark.parametrize(("count", "written"), [(1, 1), (3, 3), (9, 3)])
def test_the_first_pictures_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, written: int
) -> None:
    both: Any = Numbers()
    write_pictures(both, both, tmp_path / "pictures", count)
    paths = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in paths] == [f"picture {n}.png" for n in range(written)]
    assert [Image.open(path).getpixel((4, 1)) for path in paths] == [
        (10 * n,) * 3 for n in range(written)
    ]
    assert f"wrote {written} pictures" in capsys.readouterr().out


def test_nothing_is_made_where_no_picture_is_asked_for(tmp_path: Path) -> None:
    both: Any = Numbers()
    write_pictures(both, both, tmp_path / "pictures", 0)
    assert not (tmp_path / "pictures").exists()


class Nested(Numbers):
    """Its pictures' names hold a folder."""

    def draw_pair(self, index: object, position: int) -> tuple[str, np.ndarray]:
        return f"city/{position}", super().draw_pair(index, position)[1]


def test_a_name_may_hold_folders(tmp_path: Path) -> None:
    both: Any = Nested()
    write_pictures(both, both, tmp_path / "pictures", 1)
    assert (tmp_path / "pictures" / "city" / "0.png").is_file()


class Spoilt(Numbers):
    """Its second picture cannot be read."""

    def draw_pair(self, index: object, position: int) -> tuple[str, np.ndarray]:
        if position == 1:
            raise UserError("1.jpg: damaged")
        return super().draw_pair(index, position)


def test_bad_pictures_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both: Any = Spoilt()
    write_pictures(both, both, tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture 0.png", "picture 2.png"]
    assert "wrote 2 pictures" in capsys.readouterr().out
