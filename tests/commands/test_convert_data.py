import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2_dense.config.loader import load_config
from tests.commands.tiny import CONFIG, SEGMENTATION_CONFIG, Outcome, run_tool, tree
from tests.formats import three_formats


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


def test_no_split_is_drawn_that_nobody_asked_for(tmp_path: Path) -> None:
    source, out = tmp_path / "set", tmp_path / "out"
    three_formats.write_coco(source)
    outcome = convert(source, "voc", out).require_success()
    assert sorted(path.name for path in (out / "ImageSets" / "Main").iterdir()) == ["train.txt"]
    assert len(list((out / "JPEGImages").iterdir())) == len(three_formats.BOXES)
    section = outcome.out[outcome.out.index("data:\n") :]
    assert "val_share: 0.2" in section
    (tmp_path / "mine.yaml").write_text(f"task: detection\n{section}")
    convert(tmp_path / "mine.yaml", "coco", tmp_path / "drawn").require_success()
    assert sum(len(boxes_of(tmp_path / "drawn", split)) for split in ("train", "val")) == 3
    convert(source, "yolo", tmp_path / "asked", "data.val_share=0.4").require_success()
    assert (tmp_path / "asked" / "images" / "val").is_dir()


@pytest.mark.parametrize("target", ["coco", "voc", "yolo"])
def test_one_picture(tmp_path: Path, target: str) -> None:
    source = tmp_path / "set"
    three_formats.write_yolo(source, {"a": three_formats.BOXES["a"]})
    convert(source, target, tmp_path / "out").require_success()
    again = convert(tmp_path / "out", "coco", tmp_path / "again").require_success()
    assert boxes_of(tmp_path / "again", "train") == {"a": [[0, 0, 40, 20], [10, 5, 20, 10]]}
    assert "val_share" in again.out


def test_a_test_split_is_named(tmp_path: Path) -> None:
    source = tmp_path / "set"
    three_formats.write_yolo(source)
    three_formats.draw(source / "test" / "images", ["t"])
    outcome = convert(source, "voc", tmp_path / "out").require_success()
    assert f"{source / 'test'}: a test split, left out" in outcome.out
    used = convert(source, "voc", tmp_path / "used", "data.val_images=test/images")
    assert "a test split" not in used.out


def test_what_reading_changed_is_named(tmp_path: Path) -> None:
    yolo, voc = tmp_path / "yolo", tmp_path / "voc"
    three_formats.write_yolo(yolo)
    with (yolo / "labels" / "train" / "a.txt").open("a") as file:
        file.write("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    outcome = convert(yolo, "coco", tmp_path / "one").require_success()
    assert "not as before: " in outcome.out
    assert "outlines, of which only the extent is used: a.txt line 3" in outcome.out
    three_formats.write_voc(voc)
    outcome = convert(voc, "voc", tmp_path / "two").require_success()
    assert "not as before: parts of objects" in outcome.out
    assert "parts of objects" not in convert(yolo, "voc", tmp_path / "three").out


def outline_set(root: Path) -> None:
    three_formats.write_coco(root)
    file = root / "annotations.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        entry["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    content["images"][1]["file_name"] = ".b.png"
    (root / "images" / "b.png").rename(root / "images" / ".b.png")
    file.write_text(json.dumps(content))


def test_masks_of_outlines_keep_file_names(tmp_path: Path) -> None:
    outline_set(tmp_path / "set")
    out = tmp_path / "out"
    outcome = convert(tmp_path / "set", "masks", out, "task=segmentation").require_success()
    for folder in ("images", "masks"):
        names = sorted(path.name for path in (out / folder / "train").iterdir())
        assert names == ["_b.png", "a.png", "c.png"]
    assert (out / "classes.txt").read_text() == "background\ncat\ndog\n"
    for text in ("crowds, and where two classes overlap, are void", "'.b.png' is '_b.png'"):
        assert text in outcome.out
    with Image.open(out / "masks" / "train" / "c.png") as mask:
        assert set(np.unique(np.asarray(mask))) == {0, 1}


def test_class_names_that_a_table_cannot_hold(tmp_path: Path) -> None:
    outline_set(tmp_path / "set")
    file = tmp_path / "set" / "annotations.json"
    file.write_text(file.read_text().replace('"dog"', '"# dog"'))
    outcome = convert(tmp_path / "set", "masks", tmp_path / "out", "task=segmentation")
    assert outcome.code == 2
    assert "classes.txt, a name per line, cannot hold" in outcome.err


def test_pictures_whose_masks_would_be_one(tmp_path: Path) -> None:
    outline_set(tmp_path / "set")
    images = tmp_path / "set" / "images"
    (images / "c.png").rename(images / "a.bmp")
    file = tmp_path / "set" / "annotations.json"
    file.write_text(file.read_text().replace('"c.png"', '"a.bmp"'))
    outcome = convert(tmp_path / "set", "masks", tmp_path / "out", "task=segmentation")
    assert (outcome.code, "would have the same mask" in outcome.err) == (2, True)


def test_the_data_are_no_place_for_the_output(tmp_path: Path) -> None:
    source = tmp_path / "set"
    three_formats.write_yolo(source)
    for given in (source, source / "data.yaml"):
        arguments = (CONFIG, "yolo", source / "out", f"data.root={given}", "data.format=yolo")
        keys = ("train_images", "train_annotations", "val_images", "val_annotations")
        outcome = convert(*arguments, *(f"data.{key}=null" for key in keys))
        assert outcome.code == 2
        assert "lies in the data" in outcome.err
    assert not (source / "out").exists()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying names the picture that it reads, whatever the disk is full of."""

    def copy(picture: Path, _: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(picture))

    three_formats.write_yolo(tmp_path / "set")
    monkeypatch.setattr(shutil, "copyfile", copy)
    outcome = convert(tmp_path / "set", "voc", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith(f"error: --out {tmp_path / 'out'}: No space")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
