import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.config.loader import load_config
from tests.commands.tiny import CONFIG, SEGMENTATION_CONFIG, Outcome, run_tool, tree


def convert(source: Path, target: str, out: Path, *arguments: object) -> Outcome:
    return run_tool("convert_data", source, "--to", target, "--out", out, *arguments)


def boxes_of(root: Path, split: str) -> dict[str, list[list[float]]]:
    content = json.loads((root / "annotations" / f"instances_{split}.json").read_text())
    names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    found: dict[str, list[list[float]]] = {name: [] for name in names.values()}
    for entry in content["annotations"]:
        found[names[entry["image_id"]]].append(entry["bbox"])
    return found


@pytest.mark.parametrize("target", ["voc", "yolo"])
def test_a_set_there_and_back(shapes_set: Path, tmp_path: Path, target: str) -> None:
    before = tree(shapes_set)
    first, second, third = (tmp_path / name for name in ("coco", target, "again"))
    root = f"data.root={shapes_set}"
    convert(CONFIG, "coco", first, root).require_success()
    outcome = convert(first, target, second).require_success()
    assert "not as before: ids of images" in outcome.out
    convert(second, "coco", third).require_success()
    for split in ("train", "val"):
        kept, came_back = boxes_of(first, split), boxes_of(third, split)
        assert sum(map(len, kept.values())) > 5
        assert set(kept) == set(came_back)
        for name, boxes in kept.items():
            np.testing.assert_allclose(came_back[name], boxes, atol=1e-6)
    assert tree(shapes_set) == before


def test_the_printed_section_reads_the_new_set(shapes_set: Path, tmp_path: Path) -> None:
    outcome = convert(CONFIG, "voc", tmp_path / "voc", f"data.root={shapes_set}").require_success()
    section = outcome.out[outcome.out.index("data:\n") :]
    (tmp_path / "mine.yaml").write_text(f"task: detection\n{section}")
    data = load_config(tmp_path / "mine.yaml").data
    assert (data.format, data.root) == ("voc", str(tmp_path / "voc"))
    assert len(section.splitlines()) <= 6


def test_pictures_are_copied_or_linked(shapes_set: Path, tmp_path: Path) -> None:
    root = f"data.root={shapes_set}"
    convert(CONFIG, "yolo", tmp_path / "copied", root).require_success()
    convert(CONFIG, "yolo", tmp_path / "linked", root, "--link").require_success()
    (copy, *_), (link, *_) = (
        sorted((tmp_path / name / "images" / "train").iterdir()) for name in ("copied", "linked")
    )
    original = shapes_set / "train2017" / copy.name
    assert (copy.is_symlink(), link.is_symlink()) == (False, True)
    assert copy.read_bytes() == link.read_bytes() == original.read_bytes()
    assert link.resolve() == original.resolve()


def test_coloured_masks_to_index_masks(shapes_set: Path, tmp_path: Path) -> None:
    colors = {0: (0, 0, 0), 1: (200, 10, 10), 255: (250, 250, 250)}
    source, out = tmp_path / "colored", tmp_path / "out"
    shutil.copytree(shapes_set / "train2017", source / "images")
    (source / "masks").mkdir()
    expected: dict[str, np.ndarray] = {}
    for path in sorted((shapes_set / "label_maps" / "train2017").iterdir()):
        labels = np.minimum(np.asarray(Image.open(path)), 1)
        labels[:2] = 255
        expected[path.name] = labels
        table = np.zeros((256, 3), np.uint8)
        table[list(colors)] = list(colors.values())
        Image.fromarray(table[labels]).save(source / "masks" / path.name)
    outcome = convert(
        SEGMENTATION_CONFIG,
        "masks",
        out,
        *(f"data.root={source}", "data.format=folders", "data.val_share=0.4"),
        *("data.train_images=images", "data.train_masks=masks", "data.train_list=null"),
        *("data.val_images=null", "data.val_masks=null", "data.val_list=null"),
        *("data.classes=[ground, thing]", "data.colors=[[0,0,0],[200,10,10]]"),
        "data.ignore_color=[250,250,250]",
    ).require_success()
    assert "format: folders" in outcome.out
    assert (out / "classes.txt").read_text() == "ground\nthing\n"
    masks = sorted((out / "masks").rglob("*.png"))
    assert {path.name for path in masks} == set(expected)
    for path in masks:
        with Image.open(path) as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(np.asarray(mask), expected[path.name])
    pictures = {path.relative_to(out / "images").with_suffix("") for path in out.rglob("*.jpg")}
    assert pictures == {path.relative_to(out / "masks").with_suffix("") for path in masks}


def test_nothing_is_overwritten(shapes_set: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    outcome = convert(CONFIG, "voc", tmp_path, f"data.root={shapes_set}")
    assert outcome.code == 2
    assert "nothing is overwritten" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    empty = tmp_path / "empty"
    empty.mkdir()
    convert(CONFIG, "voc", empty, f"data.root={shapes_set}").require_success()
    assert (empty / "Annotations").is_dir()


def test_a_failure_leaves_nothing_behind(shapes_set: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes_set, tmp_path / "set")
    file = tmp_path / "set" / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["category_id"] = 404
    file.write_text(json.dumps(content))
    outcome = convert(CONFIG, "yolo", tmp_path / "out", f"data.root={tmp_path / 'set'}")
    assert (outcome.code, "category_id 404" in outcome.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("config", "target", "word"),
    [(CONFIG, "masks", "coco, voc, yolo"), (SEGMENTATION_CONFIG, "voc", "as masks")],
)
def test_targets_are_of_a_task(tmp_path: Path, config: Path, target: str, word: str) -> None:
    outcome = convert(config, target, tmp_path / "out")
    assert outcome.code == 2
    assert word in outcome.err
