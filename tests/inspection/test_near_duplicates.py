from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mnv2_dense.formats.box_set import BoxSet
from mnv2_dense.image_files import find_images
from mnv2_dense.inspection.duplicates import Use
from mnv2_dense.inspection.near_duplicates import (
    TOLERANCE,
    equal_id_findings,
    equal_name_findings,
    near_duplicate_findings,
)
from mnv2_dense.inspection.pictures import scan_picture


def photo(seed: int, size: tuple[int, int] = (320, 240), light: float = 1.0) -> Image.Image:
    """Smooth shapes, as photos have, with noise on them."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    image = coarse.resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(image, np.int64) + random.integers(-9, 10, (size[1], size[0], 3))
    image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return ImageEnhance.Brightness(image).enhance(light)


def use(split: str, path: Path, name: str = "") -> Use:
    return Use(split, name or path.name, scan_picture(path))


def places(uses: list[Use]) -> list[str]:
    found = near_duplicate_findings(uses)
    assert {each.problem.kind for each in found} <= {"near_duplicate"}
    return [each.problem.place.partition(" (")[0] for each in found]


@pytest.mark.parametrize("quality", [30, 70])
@pytest.mark.parametrize("size", [(320, 240), (160, 120), (300, 300), (640, 480)])
def test_copies_are_found(tmp_path: Path, quality: int, size: tuple[int, int]) -> None:
    for seed in range(3):
        photo(seed).save(tmp_path / f"{seed}.png")
    photo(1).resize(size, Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=quality)
    train = [use("train", tmp_path / f"{seed}.png") for seed in range(3)]
    assert places([*train, use("val", tmp_path / "a.jpg")]) == ["train 1.png = val a.jpg"]


def test_others_are_not(tmp_path: Path) -> None:
    for seed in range(40):
        photo(seed).save(tmp_path / f"{seed}.png")
    uses = [use(("train", "val")[seed % 2], tmp_path / f"{seed}.png") for seed in range(40)]
    assert places(uses) == []


def test_flat_pictures_are_alike_without_being_copies(tmp_path: Path) -> None:
    """Two nights: the thumbnails differ by less than the tolerance, and not in noise alone."""
    uses: list[Use] = []
    for split, seed in (("train", 1), ("val", 2)):
        photo(seed, light=0.02).save(tmp_path / f"{seed}.png")
        uses.append(use(split, tmp_path / f"{seed}.png"))
    first, second = (np.frombuffer(each.facts.thumbnail, np.uint8).astype(float) for each in uses)
    assert ((first - second) ** 2).mean() ** 0.5 < TOLERANCE
    assert places(uses) == []


def test_copies_within_a_split_and_very_copies_are_not_said_here(tmp_path: Path) -> None:
    photo(1).save(tmp_path / "a.png")
    photo(1).save(tmp_path / "b.png")
    photo(1).save(tmp_path / "c.jpg", quality=70)
    assert places([use("train", tmp_path / "a.png"), use("train", tmp_path / "c.jpg")]) == []
    assert places([use("train", tmp_path / "a.png"), use("val", tmp_path / "b.png")]) == []
    (tmp_path / "bad.jpg").write_text("no picture")
    assert places([use("train", tmp_path / "bad.jpg"), use("val", tmp_path / "b.png")]) == []


def test_equal_names_of_pictures_that_are_not_alike(tmp_path: Path) -> None:
    names = ("train/a.png", "val/a.jpg", "train/b.png", "val/b.jpg", "train/c.png", "val/c.png")
    uses: list[Use] = []
    for name, seed in zip(names, (1, 2, 3, 3, 4, 4), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        photo(seed).save(tmp_path / name)
        uses.append(use(name.partition("/")[0], tmp_path / name, name.partition("/")[2]))
    alike = near_duplicate_findings(uses)
    (found,) = equal_name_findings(uses, alike)
    assert found.problem.place == "train a.png = val a.jpg"
    assert len(alike) == 1
    assert alike[0].problem.place.startswith("train b.png = val b.jpg")


def test_names_in_other_folders_are_others(tmp_path: Path) -> None:
    photo(1).save(tmp_path / "1.png")
    photo(2).save(tmp_path / "2.png")
    uses = [use("train", tmp_path / "1.png", "x/1.png"), use("val", tmp_path / "2.png", "y/1.png")]
    assert equal_name_findings(uses, []) == []


def test_ids_that_name_other_files() -> None:
    def boxes(*names: str) -> BoxSet:
        images = [{"id": number, "file_name": name} for number, name in enumerate(names, start=1)]
        return BoxSet(Path("a.json"), Path(), images, (), [])

    sets = {"train": boxes("a.jpg", "b.jpg"), "val": boxes("a.jpg", "c.jpg", "d.jpg")}
    assert [each.problem.place for each in equal_id_findings(sets)] == ["2 (b.jpg, c.jpg)"]
    assert equal_id_findings({"train": boxes("a.jpg")}) == []


def test_real_pictures(shared: Path, tmp_path: Path) -> None:
    """Nothing among all pairs of both excerpts; of each copy, its original alone."""
    data = shared / "data"
    folders = ("coco/train2017", "coco/val2017", "voc/VOC2012/JPEGImages")
    paths = [path for folder in folders for path in find_images(data / folder)][::4]
    train = [use("train", path) for path in paths]
    assert places([*train, *(each._replace(split="val") for each in train)]) == []
    val: list[Use] = []
    for number, path in enumerate(paths[::5]):
        with Image.open(path) as image:
            image.convert("RGB").save(tmp_path / f"{number}.jpg", quality=70)
        val.append(use("val", tmp_path / f"{number}.jpg"))
    found = places([*train, *val])
    assert found == [
        f"train {path.name} = val {number}.jpg" for number, path in enumerate(paths[::5])
    ]
