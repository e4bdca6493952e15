from pathlib import Path

import pytest

from mnv2_dense.commands.prediction_list import Listed, PictureList, free_names


def numbers_of(folder: Path, *paths: str) -> list[int]:
    """The ids that new pictures get, and keep."""
    pictures = PictureList(folder)
    numbers = pictures.number(paths)
    names = [str(len(pictures.pictures) + each) for each in range(len(paths))]
    pictures.add([Listed(*each) for each in zip(paths, numbers, names, strict=True)])
    return numbers


@pytest.mark.parametrize(
    ("calls", "ids"),
    [
        ([["139.jpg", "7.jpg"], ["8.jpg"]], [[139, 7], [8]]),
        ([["139.jpg", "7.jpg"], ["8.jpg", "cat.jpg"]], [[139, 7], [140, 141]]),
        ([["139.jpg"], ["b/139.jpg"]], [[139], [140]]),
        ([["cat.jpg", "9.jpg"], ["1.jpg"], ["2.jpg"]], [[1, 2], [3], [4]]),
        ([["cat.jpg"], []], [[1], []]),
    ],
)
def test_ids_are_kept_and_unique(tmp_path: Path, calls: list[list[str]], ids: list[int]) -> None:
    assert [numbers_of(tmp_path, *paths) for paths in calls] == ids


def test_what_one_adds_the_others_read(tmp_path: Path) -> None:
    first, second = PictureList(tmp_path), PictureList(tmp_path)
    added = Listed("/pictures/ü\udcff.png", 3, "ü\udcff")
    first.add([added])
    with pytest.raises(FileExistsError):
        second.add([Listed("/b.png", 3, "b")])
    second.read()
    assert second.pictures == first.pictures == [added]
    assert [path.name for path in tmp_path.iterdir()] == ["pictures-1.jsonl"]


def test_many_equal_names_take_no_longer() -> None:
    """A search from the start for each would be 2 * 10^8 look-ups."""
    names = free_names(["image"] * 20_000, {"image-3"})
    assert names[:3] == ["image", "image-2", "image-4"]
    assert len(set(names)) == 20_000
