import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from mnv2_dense.builders import read_split, settle_classes
from mnv2_dense.builders.caches import Cache, Wanted, default_sizing, prepare_cache
from mnv2_dense.builders.detection_data import read_truth
from mnv2_dense.caching.sizing import Sizing
from mnv2_dense.caching.table import LOCK
from mnv2_dense.config.loader import load_config, parse_config
from mnv2_dense.config.schema import Config, DetectionConfig
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.detection.scoring import evaluate
from mnv2_dense.errors import UserError
from mnv2_dense.segmentation.index import SegmentationIndex
from mnv2_dense.structures import ImageSize
from tests.commands.tiny import (
    COCO_CONFIG,
    SIZE,
    TRAIN_IMAGES,
    VAL_IMAGES,
    config_of,
    segmentation_config_of,
    tree,
)
from tests.formats import three_formats

HALF = Wanted(Sizing("longer", SIZE // 2))


def read_from(config: Config, out: Path, cache: Cache) -> Config:
    """The config as it reads the cache."""
    content = config.model_dump(mode="json")
    return parse_config({**content, "data": {**content["data"], **cache.data, "root": str(out)}})


def boxes_of(config: Config, split: str) -> DetectionIndex:
    index = read_split(config, split)
    assert isinstance(index, DetectionIndex)
    return index


def maps_of(config: Config, split: str) -> SegmentationIndex:
    index = read_split(config, split)
    assert isinstance(index, SegmentationIndex)
    return index


@pytest.fixture(scope="module")
def half(shapes_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """The detector's config of the built-in set, and of its cache at half the size."""
    out = tmp_path_factory.mktemp("caches") / "half"
    config = config_of(shapes_set)
    return config, read_from(config, out, prepare_cache(config, out, HALF))


@pytest.fixture(scope="module")
def half_masks(shapes_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """The same of a segmenter."""
    out = tmp_path_factory.mktemp("caches") / "half_masks"
    config = segmentation_config_of(shapes_set)
    return config, read_from(config, out, prepare_cache(config, out, HALF))


def test_training_sees_boxes_of_half_the_size(half: tuple[Config, Config]) -> None:
    original, cached = (boxes_of(config, "train") for config in half)
    assert len(cached) == TRAIN_IMAGES
    assert torch.equal(cached.image_ids, original.image_ids)
    assert torch.equal(cached.sizes, original.sizes // 2)
    assert torch.equal(cached.boxes, original.boxes / 2)
    assert torch.equal(cached.labels, original.labels)
    assert [cached.image(position).shape for position in range(2)] == [(32, 32, 3)] * 2


def imperfect(index: DetectionIndex) -> list[dict[str, Any]]:
    """The boxes of an index as COCO results, each at another place than it is."""
    random = np.random.default_rng(0)
    return [
        {
            "image_id": index.image_id(position),
            "category_id": index.categories[label].category_id,
            "bbox": [left + move, top, right - left, bottom - top],
            "score": score,
        }
        for position in range(len(index))
        for (left, top, right, bottom), label, move, score in zip(
            index.targets(position).boxes.tolist(),
            index.targets(position).labels.tolist(),
            *random.uniform(0, [[8], [1]], (2, len(index.targets(position).labels))),
            strict=True,
        )
    ]


def test_a_detector_is_measured_on_original_boxes(half: tuple[Config, Config]) -> None:
    original, cached = (boxes_of(config, "val") for config in half)
    assert cached.image(0).shape == (SIZE, SIZE, 3)
    assert torch.equal(cached.boxes, original.boxes)
    truths = []
    for config in half:
        assert isinstance(config, DetectionConfig)
        truths.append(read_truth(config.data))
    first, second = (evaluate(truth, imperfect(original)) for truth in truths)
    assert second == first
    assert 0.1 < first.summary["mAP"] < 0.9


def test_original_areas_say_which_objects_are_small(tmp_path: Path) -> None:
    # 40 x 40 and 20 x 20 pixels, at half the size 20 x 20 and 10 x 10: 32 x 32 is the bound.
    root, out = tmp_path / "data", tmp_path / "out"
    image = {"id": 1, "file_name": "1.png", "width": 200, "height": 100}
    entries = [
        {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": side * side}
        | {"bbox": [50.0 * number, 10.0, side, side]}
        for number, side in enumerate((40, 20), start=1)
    ]
    categories = [{"id": 1, "name": "cat"}]
    content = {"images": [image], "annotations": entries, "categories": categories}
    for split in ("train", "val"):
        (root / f"{split}2017").mkdir(parents=True)
        Image.new("RGB", (200, 100), (10, 200, 30)).save(root / f"{split}2017" / "1.png")
        (root / "annotations").mkdir(exist_ok=True)
        file = root / "annotations" / f"instances_{split}2017.json"
        file.write_text(json.dumps(content))
    config = load_config(COCO_CONFIG, [f"data.root={root}", "data.num_classes=1"])
    cached = read_from(config, out, prepare_cache(config, out, Wanted(Sizing("longer", 100))))
    assert isinstance(cached, DetectionConfig)
    results = [
        {"image_id": 1, "category_id": 1, "bbox": entries[0]["bbox"], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [100.0, 10.0, 20.0, 11.5], "score": 0.8},
    ]
    summary = evaluate(read_truth(cached.data), results).summary
    # The medium one is found exactly; the small one at an IoU of 0.575: at 2 of 10 thresholds.
    assert [round(summary[key], 9) for key in ("APs", "APm", "APl")] == [0.2, 1.0, -1.0]
    stored = json.loads((out / "annotations" / "instances_val2017.json").read_text())
    assert [entry["area"] for entry in stored["annotations"]] == [400, 100]


def test_a_segmenter_is_measured_on_original_masks(half_masks: tuple[Config, Config]) -> None:
    original, cached = (maps_of(config, "val") for config in half_masks)
    assert len(cached) == len(original) == VAL_IMAGES
    for position in range(VAL_IMAGES):
        assert cached.image(position).shape == (SIZE, SIZE, 3)
        assert np.array_equal(cached.label_map(position), original.label_map(position))
    assert "originals" in cached.mask_path(0).parts


def test_training_masks_are_nearest_pixels_of_the_originals(
    half_masks: tuple[Config, Config],
) -> None:
    original, cached = (maps_of(config, "train") for config in half_masks)
    assert cached.categories == original.categories
    for position in range(3):
        assert cached.image_id(position) == original.image_id(position)
        expected = original.label_map(position)[1::2, 1::2].repeat(2, axis=0).repeat(2, axis=1)
        assert np.array_equal(cached.label_map(position), expected)
        assert cached.image(position).shape == (*expected.shape, 3)


def test_pictures_kept_as_they_are_give_the_same_samples(shapes_set: Path, tmp_path: Path) -> None:
    kept = Wanted(Sizing("full"), quality=100)
    for number, config in enumerate((config_of(shapes_set), segmentation_config_of(shapes_set))):
        out = tmp_path / str(number)
        cached = read_from(config, out, prepare_cache(config, out, kept))
        for split in ("train", "val"):
            original, copy = read_split(config, split), read_split(cached, split)
            assert len(copy) == len(original)
            for position in range(len(original)):
                assert np.array_equal(copy.image(position), original.image(position))
            if isinstance(original, DetectionIndex):
                assert torch.equal(boxes_of(cached, split).boxes, original.boxes)


def write_coco(root: Path, names: list[str]) -> None:
    """A set whose pictures, of other grays, carry a square each; one split is both."""
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for number, name in enumerate(names, start=1):
        content["images"].append({"id": number, "file_name": name, "width": 40, "height": 30})
        square = [[2, 2, 20, 2, 20, 20, 2, 20]]
        entry = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": 324}
        entry |= {"bbox": [2, 2, 18, 18], "segmentation": square}
        content["annotations"].append(entry)
    whole = {**content, "categories": [{"id": 1, "name": "cat"}]}
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(whole))


def draw(file: Path, gray: int, format_: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (gray, gray, gray)).save(file, format_)
    os.utime(file, ns=(10**18, 10**18))


def test_a_place_that_goes_to_another_picture_is_done_again(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    names = ["a b.bmp", "a_b.bmp"]
    for name, gray in zip(names, (10, 200), strict=True):
        draw(root / "train2017" / name, gray, "BMP")
    config = load_config(COCO_CONFIG, [f"data.root={root}", "data.num_classes=1"])
    wanted = Wanted(Sizing("longer", 20), splits=("train",))
    for left, gray in ((names, 10), (names[1:], 200)):
        write_coco(root, left)
        cache = prepare_cache(config, out, wanted)
        assert [entry.sources[0].name for entry in cache.pictures.entries.values()] == [
            f"train2017/{name}" for name in left
        ]
        assert np.unique(boxes_of(read_from(config, out, cache), "train").image(0)) == [gray]


def test_kept_pictures_are_found_whatever_they_were_called(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    names = ["x.jfif", "y", "z.jpg"]
    for name, format_ in zip(names, ("JPEG", "PNG", "GIF"), strict=True):
        draw(root / "train2017" / name, 100, format_)
    write_coco(root, names)
    data = {"root": str(root), "format": "coco", "classes": ["background", "cat"]}
    config = parse_config({"name": "x", "task": "segmentation", "data": data})
    wanted = Wanted(Sizing("full"), quality=100, splits=("train",))
    found = maps_of(read_from(config, out, prepare_cache(config, out, wanted)), "train")
    assert [found.path(position).name for position in range(3)] == ["1.jpg", "2.png", "3.gif"]
    original = maps_of(config, "train")
    for position in range(3):
        assert np.array_equal(found.image(position), original.image(position))
        assert np.array_equal(found.label_map(position), original.label_map(position))


@pytest.mark.parametrize("name", ["voc", "yolo"])
def test_boxes_of_other_formats_become_coco(tmp_path: Path, name: str) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    getattr(three_formats, f"write_{name}")(root)
    places = "data.train_list=null" if name == "voc" else "data.train_images=null"
    overrides = [f"data.root={root}", f"data.format={name}", "data.num_classes=null", places]
    config = load_config(COCO_CONFIG, [*overrides, "data.val_share=0.34"])
    cache = prepare_cache(config, out, Wanted(Sizing("longer", 20)))
    cached = read_from(config, out, cache)
    for split, count in (("train", 2), ("val", 1)):
        original, copy = (boxes_of(each, split) for each in (settle_classes(config), cached))
        assert len(copy) == len(original) == count
        factor = 2 if split == "train" else 1
        torch.testing.assert_close(copy.boxes * factor, original.boxes)
        names = [[each.name for each in index.categories] for index in (original, copy)]
        assert names[0] == names[1]


def test_the_default_is_what_the_network_sees() -> None:
    config = load_config(COCO_CONFIG, ["input.width=352"])
    assert default_sizing(config) == Sizing("shorter", 352)
    assert default_sizing(config).fit(ImageSize(480, 640)) == ImageSize(352, 469)


def test_what_is_no_place_for_a_cache_is_refused(
    shapes_set: Path, half: tuple[Config, Config], tmp_path: Path
) -> None:
    config, cached = half
    with pytest.raises(UserError, match="is a cache already; give the originals"):
        prepare_cache(cached, tmp_path / "out", HALF)
    with pytest.raises(UserError, match="cache of other quality"):
        prepare_cache(config, Path(cached.data.root), HALF._replace(quality=80))
    with pytest.raises(UserError, match="cache of other data"):
        prepare_cache(config_of(shapes_set, "data.split_seed=1"), Path(cached.data.root), HALF)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / LOCK), pytest.raises(UserError, match="another process"):
        prepare_cache(config, tmp_path / "out", HALF)


def test_a_picture_that_cannot_be_used_is_left_out(shapes_set: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes_set, tmp_path / "data")
    bad = min((tmp_path / "data" / "val2017").iterdir())
    bad.write_bytes(bad.read_bytes()[:40])
    out = tmp_path / "out"
    with pytest.raises(UserError, match=bad.name):
        prepare_cache(config_of(tmp_path / "data"), out, HALF)
    config = config_of(tmp_path / "data", "data.on_bad_image=skip")
    with pytest.raises(UserError, match="not finished"):
        boxes_of(config_of(out), "train")
    cache = prepare_cache(config, out, HALF)
    assert cache.pictures.done_before > 0
    assert len(boxes_of(read_from(config, out, cache), "val")) == VAL_IMAGES - 1
    assert bad.name in json.loads((out / "cache.json").read_text())["left_out"][0]
    prepare_cache(config, tmp_path / "other", HALF)
    assert tree(out) == tree(tmp_path / "other")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_relative_root_is_read_as_well(
    half: tuple[Config, Config],
    half_masks: tuple[Config, Config],
    monkeypatch: pytest.MonkeyPatch,
    split: str,
) -> None:
    for _, cached in (half, half_masks):
        expected = read_split(cached, split)
        root = Path(cached.data.root)
        monkeypatch.chdir(root.parent)
        found = read_split(
            parse_config(cached.model_dump(mode="json"), [f"data.root={root.name}"]), split
        )
        assert type(found) is type(expected)
        assert np.array_equal(found.image(0), expected.image(0))


def test_a_cache_that_is_renewed_is_none_until_it_is_finished(
    shapes_set: Path, tmp_path: Path
) -> None:
    shutil.copytree(shapes_set, tmp_path / "data")
    config, out = config_of(tmp_path / "data"), tmp_path / "out"
    prepare_cache(config, out, HALF)
    bad = min((tmp_path / "data" / "val2017").iterdir())
    bad.write_bytes(bad.read_bytes()[:40])
    with pytest.raises(UserError, match=bad.name):
        prepare_cache(config, out, HALF)
    with pytest.raises(UserError, match="not finished"):
        boxes_of(config_of(out), "train")


def test_a_cache_needs_no_originals(shapes_set: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes_set, tmp_path / "data")
    config, out = config_of(tmp_path / "data"), tmp_path / "out"
    cached = read_from(config, out, prepare_cache(config, out, HALF))
    expected = boxes_of(config, "val").boxes
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(UserError, match="not found"):
        prepare_cache(config, out, HALF)
    assert torch.equal(boxes_of(cached, "val").boxes, expected)
    assert boxes_of(cached, "val").image(0).shape == (SIZE, SIZE, 3)
