"""What a user may get wrong, and the line that answers it: exit code 2 and no traceback."""

import copy
import io
import json
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import MobileNet_V2_Weights

from mnv2_dense.drawing import class_palette
from mnv2_dense.images import image_size
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import ImageSize
from tests.commands.classifiers import classifier_checkpoint
from tests.commands.tiny import (
    CONFIG,
    SEGMENTATION_CONFIG,
    SIZE,
    STEPS,
    Outcome,
    checkpoint,
    logged,
    only_run,
    read_log,
    run_tool,
    segmentation_overrides,
    tiny_overrides,
    train,
    train_segmenter,
    tree,
)

Annotations = dict[str, Any]


class Workplace(NamedTuple):
    """A copy of the tiny data set that a test may spoil, and the checkpoint of a tiny run."""

    folder: Path
    data: Path
    run: Path

    @property
    def output(self) -> Path:
        return self.folder / "runs"

    def train(self, *arguments: object) -> Outcome:
        return train(self.data, self.output, *arguments)

    def annotations(self, split: str = "train") -> Path:
        return self.data / "annotations" / f"instances_{split}2017.json"

    def edit(self, change: Callable[[Annotations], object], split: str = "train") -> None:
        content = json.loads(self.annotations(split).read_text())
        change(content)
        self.annotations(split).write_text(json.dumps(content))

    def save(self, content: object, name: str = "other.ckpt") -> Path:
        torch.save(content, self.folder / name)
        return self.folder / name

    def own_checkpoint(self) -> dict[str, Any]:
        return torch.load(self.run / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture
def place(shapes_set: Path, trained_run: Path, tmp_path: Path) -> Workplace:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    return Workplace(tmp_path, tmp_path / "shapes", trained_run)


def assert_refused(outcome: Outcome, *words: object, lines: int = 1) -> None:
    assert outcome.code == 2, outcome.err + outcome.out
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("error: ") == 1
    assert outcome.err.count("\n") == lines, outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    for word in words:
        assert str(word) in outcome.err


# The config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainig.epochs=2", ["trainig", "did you mean training"]),
        ("training.epoch=2", ["training.epoch", "did you mean training.epochs?"]),
        ("training.epochs=many", ['training.epochs cannot be "many"', "whole number"]),
        ("training.epochs=1.5", ["training.epochs cannot be 1.5", "whole number"]),
        ("training.epochs=0", ["training.epochs cannot be 0", "at least 1"]),
        ("training.deterministic=1", ["training.deterministic cannot be 1", "true"]),
        ("optimizer.name=adam", ['optimizer.name cannot be "adam"', "sgd, rmsprop, adamw"]),
        ("input.mean=[1, 2]", ["input.mean cannot be [1, 2]"]),
        ("optimizer.betas=[0.9, 1.0]", ["optimizer.betas cannot be [0.9, 1.0]"]),
        ("training.seed=99999999999999999999", ["training.seed cannot be 9999"]),
        ("input.height=100000", ["input.height cannot be 100000", "4096"]),
        ("evaluation.flip=true", ["evaluation is no known key"]),
        ("anchors.min_scale=0.99", ["min_scale must be below max_scale"]),
        ("training=5", ["training"]),
        ("just words", ["just words", "key.path=value"]),
        ("task=cooking", ["task cannot be 'cooking'", "detection, segmentation"]),
    ],
)
def test_overrides(place: Workplace, override: str, words: Sequence[str]) -> None:
    assert_refused(place.train(override), *words)
    assert not place.output.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("traning:\n  epochs: 1\n", [":1: ", "did you mean training"]),
        ("training:\n  epoch: 1\n", [":2: ", "did you mean training.epochs?"]),
        ("training:\n\tepochs: 1\n", [":2: ", "tab"]),
        ("training:\n  epochs: 1\n  epochs: 2\n", [":3: ", "epochs"]),
        ("training: [1\n", ["config.yaml"]),
        ("a: &a [1]\nb: [*a, *a]\n", [":1: ", "anchors and aliases"]),
        ("data: !!python/object:os.system x\n", [":1: ", "tags"]),
        ("- 1\n", ["config.yaml", "not a config"]),
    ],
)
def test_config_files(tmp_path: Path, text: str, words: Sequence[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert_refused(run_tool("train", path, "--print-config"), *words)


def test_every_mistake_is_named_at_once(place: Workplace) -> None:
    outcome = place.train("training.epoch=2", "input.height=0")
    assert_refused(outcome, "2 mistakes", "training.epochs?", "input.height cannot be 0", lines=3)


@pytest.mark.parametrize("tool", ["train", "evaluate", "summary"])
def test_missing_config(tool: str, tmp_path: Path) -> None:
    extra = ["--weights", "x.ckpt"] if tool == "evaluate" else []
    outcome = run_tool(tool, tmp_path / "no.yaml", *extra)
    assert_refused(outcome, f"{tmp_path / 'no.yaml'}: no such config file")


# The data


def test_missing_data_folder(place: Workplace) -> None:
    outcome = place.train("data.root=nowhere", "data.generate=null")
    assert_refused(
        outcome,
        "nowhere/annotations/instances_train2017.json",
        "nowhere/train2017",
        "To get COCO, run tools/download_data.py coco",
    )
    assert not place.output.exists()


def test_missing_data_folder_in_a_dry_run(place: Workplace) -> None:
    outcome = place.train("data.root=nowhere", "data.generate=null", "--dry-run")
    assert_refused(outcome, "nowhere/train2017", "To get COCO")


def _first(content: Annotations, key: str) -> dict[str, Any]:
    return content[key][0]


SPOILT: list[tuple[Callable[[Annotations], object], list[str]]] = [
    (lambda c: c.update(annotations=[]), ["empty annotation file", "'annotations'"]),
    (lambda c: c.update(images=[]), ["empty annotation file", "'images'"]),
    (lambda c: c.pop("categories"), ["not a COCO instances file", "'categories'"]),
    (
        lambda c: _first(c, "annotations").update(id=77, image_id=987),
        ["image_id is missing", "77 (image_id 987)"],
    ),
    (
        lambda c: _first(c, "annotations").update(id=77, category_id=654),
        ["category_id is missing", "77 (category_id 654)"],
    ),
    (lambda c: _first(c, "annotations").pop("category_id"), ["category_id None"]),
    (lambda c: c["images"].append(_first(c, "images")), ["duplicate ids in 'images': 1"]),
    (
        lambda c: c["annotations"].append(_first(c, "annotations")),
        ["duplicate ids in 'annotations'"],
    ),
    (
        lambda c: c["categories"].append(_first(c, "categories")),
        ["duplicate ids in 'categories'"],
    ),
    (lambda c: _first(c, "annotations").update(bbox="1 2 3 4"), ["bbox is not four numbers"]),
    (lambda c: _first(c, "annotations").update(id=77, area=None), ["area is no number", "77"]),
    (lambda c: _first(c, "annotations").update(id=77, area="12"), ["area is no number", "77"]),
    (lambda c: _first(c, "annotations").update(id=77, iscrowd="0"), ["iscrowd is neither", "77"]),
    (lambda c: _first(c, "annotations").update(id=77, iscrowd=2), ["iscrowd is neither", "77"]),
    (lambda c: _first(c, "images").update(file_name="gone.jpg"), ["gone.jpg", "missing"]),
    (lambda c: _first(c, "images").update(file_name="../x.jpg"), ["leaves the image folder"]),
    (lambda c: _first(c, "categories").update(name="dog"), ["different classes", "dog"]),
    (lambda c: c["categories"].append({"id": 99, "name": "dog"}), ["different classes"]),
]


@pytest.mark.parametrize(
    ("change", "words"),
    SPOILT,
    ids=[
        *("no annotations", "no images", "no categories", "annotation of a missing image"),
        *("annotation of a missing category", "annotation without category", "image id twice"),
        *("annotation id twice", "category id twice", "bad box", "no area"),
        *("area as text", "iscrowd as text", "iscrowd of 2", "missing picture"),
        *("picture outside", "train and val differ", "train has more classes"),
    ],
)
def test_annotations(
    place: Workplace, change: Callable[[Annotations], object], words: Sequence[str]
) -> None:
    place.edit(change)
    assert_refused(place.train(), *words)
    assert not place.output.exists()


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"images": [1'])
def test_annotation_files_that_are_no_coco(place: Workplace, content: str) -> None:
    place.annotations("val").write_text(content)
    assert_refused(place.train(), place.annotations("val"))


def test_number_of_classes(place: Workplace) -> None:
    outcome = place.train("data.num_classes=80")
    assert_refused(outcome, "data.num_classes=80", "10 categories", "data.num_classes=null")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("split", ["train", "val"])
def test_corrupt_image_is_named(place: Workplace, split: str, workers: int) -> None:
    picture = sorted((place.data / f"{split}2017").iterdir())[0]
    picture.write_bytes(picture.read_bytes()[:300])
    outcome = place.train(f"data.num_workers={workers}")
    assert_refused(outcome, f"{picture}: the image cannot be read")


def test_image_of_another_size_is_named(place: Workplace) -> None:
    place.edit(lambda content: _first(content, "images").update(width=65))
    assert_refused(place.train(), "000000000001.jpg", "64 x 64 pixels", "65 x 64")


@pytest.mark.parametrize("extra", [[], ["--dry-run"]])
def test_one_image_per_step(place: Workplace, extra: Sequence[str]) -> None:
    outcome = place.train("data.batch_size=1", *extra)
    assert_refused(outcome, "data.batch_size=1", "two images or more")
    assert not place.output.exists()


# Masks


class Masks(NamedTuple):
    """A copy of the tiny data set, as a segmenter reads it."""

    folder: Path
    data: Path

    def train(self, *arguments: object) -> Outcome:
        """One batch of each kind: nothing is written."""
        return train_segmenter(self.data, self.folder / "runs", *arguments, "--dry-run")

    def paths(self, split: str = "train") -> list[Path]:
        return sorted((self.data / "label_maps" / f"{split}2017").iterdir())

    def pictures(self, split: str = "train") -> list[Path]:
        return sorted((self.data / f"{split}2017").iterdir())

    def list_of(self, *keys: str) -> str:
        path = self.folder / "list.txt"
        path.write_text("".join(f"{key}\n" for key in keys))
        return f"data.train_list={path}"


@pytest.fixture
def masks(shapes_set: Path, tmp_path: Path) -> Masks:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    return Masks(tmp_path, tmp_path / "shapes")


def convert(path: Path, mode: str) -> None:
    with Image.open(path) as image:
        converted = image.convert(mode)
    converted.save(path)


def test_palette_masks_train_and_coloured_ones_only_with_their_colours(masks: Masks) -> None:
    masks.train().require_success()
    for path in (*masks.paths("train"), *masks.paths("val")):
        convert(path, "RGB")
    assert_refused(masks.train(), "label_maps/", "holds colours, not class indices", "data.colors")
    colors = [list(color) for color in class_palette()]
    given = [f"data.colors={colors[: len(LABEL_NAMES)]}", f"data.ignore_color={colors[255]}"]
    masks.train(*given).require_success()
    less = [f"data.colors={[*colors[1 : len(LABEL_NAMES)], [9, 9, 9]]}"]
    assert_refused(masks.train(*less), "mask colours that no class has: (0, 0, 0) at")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_value_that_is_no_class_is_named(masks: Masks, split: str, workers: int) -> None:
    for path in masks.paths(split):
        labels = np.array(Image.open(path))
        labels[0, 0] = 77
        Image.fromarray(labels).save(path)
    outcome = masks.train(f"data.num_workers={workers}")
    assert_refused(
        outcome, f"label_maps/{split}2017/", "neither a class (0 to 10) nor void (255): 77"
    )
    if split == "train":  # the same value as void is none
        masks.train("data.ignore_index=77").require_success()


def test_masks_of_another_size_are_named_before_the_training(masks: Masks) -> None:
    sizes = [(64, 63), (32, 64)]
    for path, size in zip(masks.paths(), sizes, strict=False):
        Image.new("L", size).save(path)
    outcome = masks.train()
    names = [path.name for path in masks.paths()]
    assert_refused(outcome, *names[:2], "64 x 63 pixels, its picture 64 x 64")
    assert names[2] not in outcome.err


def test_missing_masks_are_named(masks: Masks) -> None:
    for path in masks.paths()[:7]:
        path.unlink()
    outcome = masks.train()
    assert_refused(outcome, "label_maps/train2017: masks of pictures", "000000000001.png", "2 more")


def test_masks_of_0_and_255_are_refused_or_read_by_colours(masks: Masks) -> None:
    for path in (*masks.paths("train"), *masks.paths("val")):
        with Image.open(path) as image:
            binary = np.where(np.asarray(image) > 0, 255, 0).astype(np.uint8)
        Image.fromarray(binary).save(path)
    two = "data.classes=[background, object]"
    assert_refused(masks.train(two), "fewer than two of the 2 classes (missing: object)")
    masks.train(two, "data.colors=[[0,0,0],[255,255,255]]").require_success()


def test_all_bad_masks_are_named_before_training(masks: Masks) -> None:
    bad = [masks.paths("train")[0], masks.paths("train")[2]]
    for path in bad:
        Image.fromarray(np.full((SIZE, SIZE), 77, np.uint8)).save(path)
    assert_refused(masks.train(), "2 of 12 masks cannot be used", *bad)


def test_missing_folders_and_lists_are_named(masks: Masks) -> None:
    outcome = masks.train("data.root=nowhere", "data.train_list=list.txt")
    assert_refused(outcome, "nowhere/list.txt", "nowhere/train2017", "Correct data.root")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], ["list.txt", "is empty"]),
        (["", "  "], ["list.txt", "is empty"]),
        (["000000000001", "2007_000032"], ["pictures named in", "are missing: 2007_000032"]),
        (["000000000001", "000000000001"], ["pictures named twice: 000000000001"]),
        (["../val2017/000000000013"], ["leave the image folder"]),
    ],
    ids=["nothing", "blank lines", "missing picture", "twice", "outside"],
)
def test_lists_of_pictures(masks: Masks, keys: Sequence[str], words: Sequence[str]) -> None:
    assert_refused(masks.train(masks.list_of(*keys)), *words)


def test_a_list_that_is_no_text(masks: Masks) -> None:
    listed = masks.list_of()
    (masks.folder / "list.txt").write_bytes(b"\xff\xfe\x00")
    assert_refused(masks.train(listed), "list.txt", "UTF-8")


@pytest.mark.parametrize("damage", ["picture", "mask"])
def test_a_damaged_file_is_named(masks: Masks, damage: str) -> None:
    path = (masks.pictures("val") if damage == "picture" else masks.paths("val"))[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_refused(masks.train(), path.name)


def test_pictures_of_any_colour_mode_train(masks: Masks) -> None:
    """16-bit gray and CMYK, of which every batch has some."""
    for number, path in enumerate(masks.pictures()):
        image = Image.open(path).convert("CMYK" if number % 2 else "L")
        path.unlink()
        if number % 2:
            image.save(path)
        else:
            Image.fromarray(np.asarray(image).astype(np.uint16) * 257).save(
                path.with_suffix(".png")
            )
    masks.train().require_success()


@pytest.mark.parametrize("options", [[], ["head.aspp=dense", "head.auxiliary=true"]], ids=str)
def test_a_batch_of_one_trains(masks: Masks, options: Sequence[str]) -> None:
    masks.train("data.batch_size=1", *options).require_success()
    one = masks.list_of("000000000003")  # one picture in all, whatever the batch
    masks.train(one, *options).require_success()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.classes=[a, b]"], ["neither a class (0 to 1) nor void (255)"]),
        (["loss.class_weights=[1, 2]"], ["class_weights has 2 entries for 11 classes"]),
        (["data.num_classes=5"], ["num_classes is 5, but classes has 11 names"]),
        (["anchors.min_scale=0.1"], ["anchors is no known key"]),
    ],
)
def test_classes_and_weights(masks: Masks, overrides: Sequence[str], words: Sequence[str]) -> None:
    assert_refused(masks.train(*overrides), *words)


def test_weights_for_classes_without_names(masks: Masks) -> None:
    unnamed = ["data.classes=null", "data.num_classes=11"]
    outcome = masks.train(*unnamed, "loss.class_weights=[1, 2]")
    assert_refused(outcome, "class_weights has 2 entries for 11 classes")
    masks.train(*unnamed, f"loss.class_weights={[1] * 11}").require_success()


@pytest.mark.parametrize("tool", ["train", "evaluate"])
def test_a_checkpoint_of_the_other_task(masks: Masks, trained_run: Path, tool: str) -> None:
    detector = trained_run / "checkpoints" / "last.ckpt"
    overrides = segmentation_overrides(masks.data, masks.folder / "runs")
    if tool == "train":
        outcome = train_segmenter(masks.data, masks.folder / "runs", "--resume", detector)
    else:
        outcome = run_tool("evaluate", SEGMENTATION_CONFIG, "--weights", detector, *overrides)
    assert_refused(outcome, detector)
    assert not (masks.folder / "runs").exists()


# Checkpoints


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("tool", ["train", "evaluate", "predict"])
def test_hostile_checkpoint(place: Workplace, tool: str) -> None:
    mark, path = place.folder / "mark", place.folder / "hostile.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": {}, "evil": Hostile(mark)}))
    torch.save({"state_dict": {}, "evil": Hostile(mark)}, place.folder / "zip.ckpt")
    for file in (path, place.folder / "zip.ckpt"):
        assert_refused(use_checkpoint(place, tool, file), file)
    assert not mark.exists()


def use_checkpoint(place: Workplace, tool: str, path: Path) -> Outcome:
    """Resumes from, evaluates or predicts with a checkpoint."""
    if tool == "train":
        return place.train("training.epochs=2", "--resume", path)
    if tool == "evaluate":
        return run_tool("evaluate", path, "--out", place.folder / "out")
    pictures = place.data / "val2017"
    return run_tool("predict", pictures, "--weights", path, "--out", place.folder / "out")


@pytest.mark.parametrize("tool", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "list"])
def test_no_checkpoint(place: Workplace, tool: str, damage: str) -> None:
    path = place.folder / "some.ckpt"
    if damage == "truncated":
        path.write_bytes((place.run / "checkpoints" / "last.ckpt").read_bytes()[:50_000])
    elif damage == "text":
        path.write_text("weights")
    elif damage == "list":
        place.save([1, 2], path.name)
    assert_refused(use_checkpoint(place, tool, path), path)
    assert not place.output.exists()


def test_resuming_another_architecture(place: Workplace) -> None:
    outcome = place.train(
        "backbone.width_mult=0.5", "--resume", place.run / "checkpoints" / "last.ckpt"
    )
    assert_refused(
        outcome,
        "weights of another architecture",
        "network.backbone.",
        "in the file and",
        "in the network",
        " more",
    )


def test_a_refused_resume_leaves_the_run_as_it_is(place: Workplace) -> None:
    before = tree(place.run)
    test_resuming_another_architecture(place)
    assert tree(place.run) == before


def test_evaluating_another_architecture(place: Workplace) -> None:
    weights = place.run / "checkpoints" / "last.ckpt"
    overrides = [*tiny_overrides(place.data, place.output), "backbone.width_mult=0.5"]
    outcome = run_tool("evaluate", CONFIG, "--weights", weights, *overrides)
    assert_refused(outcome, "weights of another architecture", "in the file and")


def test_foreign_weights(place: Workplace) -> None:
    foreign = place.save({"conv.weight": torch.zeros(3)})
    assert_refused(use_checkpoint(place, "train", foreign), foreign)
    for tool in ("evaluate", "predict"):
        assert_refused(use_checkpoint(place, tool, foreign), "not a checkpoint of mnv2_dense")


@pytest.mark.parametrize("key", ["optimizer_states", "loops", "epoch"])
def test_resuming_from_weights_alone(place: Workplace, key: str) -> None:
    """Weights can be evaluated, but a run needs the optimiser's state too."""
    content = place.own_checkpoint()
    del content[key]
    path = place.save(content)
    assert_refused(use_checkpoint(place, "train", path), path, "--resume")


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"config": {}},
        {"config": 3, "categories": []},
        {"config": {}, "categories": 3},
        {"config": {}, "categories": [[1]]},
        {"config": {"trainig": 1}, "categories": [[1, "a"]]},
    ],
    ids=str,
)
def test_checkpoint_with_a_spoilt_card(place: Workplace, card: dict[str, object]) -> None:
    path = place.save({**place.own_checkpoint(), "mnv2_dense": card})
    assert_refused(use_checkpoint(place, "evaluate", path), path)


def test_checkpoint_of_other_classes(place: Workplace) -> None:
    content = copy.deepcopy(place.own_checkpoint())
    content["mnv2_dense"]["categories"][0][1] = "dog"
    path = place.save(content)
    assert_refused(use_checkpoint(place, "evaluate", path), path, "different classes", "dog")
    assert_refused(use_checkpoint(place, "train", path), path, "different classes", "dog")


def test_weights_of_other_classes(place: Workplace) -> None:
    content = copy.deepcopy(place.own_checkpoint())
    content["mnv2_dense"]["categories"][0][1] = "dog"
    path = place.save(content)
    overrides = tiny_overrides(place.data, place.output)
    outcome = run_tool("evaluate", CONFIG, "--weights", path, *overrides)
    assert_refused(outcome, path, "different classes", "dog")


def test_fewer_epochs_than_were_done(place: Workplace) -> None:
    content = copy.deepcopy(place.own_checkpoint())
    content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] = 5
    path = place.save(content)
    before = tree(place.folder)
    assert_refused(
        place.train("training.epochs=2", "--resume", path), "trained for 5 epochs", "epochs=2"
    )
    assert tree(place.folder) == before


def test_fewer_validation_images_than_processes(place: Workplace) -> None:
    outcome = place.train("training.devices=7", "data.batch_size=2")
    assert_refused(outcome, "6 validation images cannot be shared by 7 processes")


def test_half_precision_on_a_cpu(place: Workplace) -> None:
    assert_refused(place.train("training.precision=16"), "training.precision=16 needs a GPU")


def test_predicting_into_a_folder_with_a_file_of_the_same_name(place: Workplace) -> None:
    weights = place.run / "checkpoints" / "best.ckpt"
    pictures = place.data / "val2017"
    (pictures / "detections.json").write_text("mine")
    outcome = run_tool("predict", pictures, "--weights", weights, "--out", pictures)
    assert_refused(outcome, "detections.json is there", "choose another folder")
    assert (pictures / "detections.json").read_text() == "mine"


def test_results_that_cannot_be_written(place: Workplace, tmp_path: Path) -> None:
    weights = place.run / "checkpoints" / "best.ckpt"
    (tmp_path / "out" / "detections.json").mkdir(parents=True)
    arguments = (place.data / "val2017", "--weights", weights, "--out", tmp_path / "out")
    assert_refused(run_tool("predict", *arguments), "detections.json")
    (tmp_path / "scores" / "metrics.json").mkdir(parents=True)
    outcome = run_tool("evaluate", weights, "--out", tmp_path / "scores", f"data.root={place.data}")
    assert_refused(outcome, "metrics.json: Is a directory")


def test_resume_without_a_run(place: Workplace) -> None:
    outcome = place.train("--resume")
    assert_refused(outcome, "--resume: no ", "last.ckpt", "leave --resume out")


def test_config_to_evaluate_without_weights() -> None:
    assert_refused(run_tool("evaluate", CONFIG), "is a config", "--weights PATH")


def test_checkpoint_to_evaluate_with_weights(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    outcome = run_tool("evaluate", last, "--weights", last)
    assert_refused(outcome, "--weights", "has its own weights")


# Backbone weights


def test_imagenet_weights_that_cannot_be_downloaded(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", refuse)
    outcome = place.train("backbone.weights=imagenet")
    assert_refused(outcome, "backbone.weights=imagenet", "no route to host", "https://")
    assert not place.output.exists()


def test_backbone_weights_that_are_missing(place: Workplace) -> None:
    assert_refused(place.train("backbone.weights=no.pt"), "no.pt: no such checkpoint file")
    for name in ("no.tflite", "no.pb"):
        assert_refused(place.train(f"backbone.weights={name}"), f"{name}: no such file")
    assert not place.output.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.tflite", "w.pb", "w.tar.gz"])
def test_backbone_weights_that_are_damaged(place: Workplace, name: str) -> None:
    (place.folder / name).write_bytes(b"\x0a\xff no weights")
    path = place.folder / name
    assert_refused(place.train(f"backbone.weights={path}"), path)
    assert not place.output.exists()


def test_backbone_weights_of_another_input(place: Workplace) -> None:
    path = place.run / "checkpoints" / "last.ckpt"
    for change, words in (
        ("backbone.padding=same", "backbone.padding=symmetric (not same)"),
        ("input.mean=[0, 0, 0]", "was trained with input.mean="),
        ("backbone.width_mult=0.5", "they fit backbone.width_mult=0.35"),
    ):
        assert_refused(place.train(f"backbone.weights={path}", change), path, words)
    assert not place.output.exists()


# A run that begins with a checkpoint


def test_weights_to_begin_with_and_a_run_to_go_on_with(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    words = "--weights begins a run and --resume goes on with one; give one of them"
    assert_refused(place.train("--weights", last, "--resume", last), words)
    assert_refused(place.train("--weights", last, "--resume"), words)


def test_a_checkpoint_in_a_configs_place_has_its_own_weights(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    for option in (("--weights", last), ("--resume", last), ("--resume",)):
        outcome = run_tool("train", last, *option)
        assert_refused(outcome, last, "has its own weights; give a config with --weights")


@pytest.mark.parametrize("weights", ["missing", "text", "bare", "classifier", "task"])
def test_weights_that_no_run_begins_with(
    place: Workplace, segmentation_run: Path, weights: str
) -> None:
    path = place.folder / "other.ckpt"
    if weights == "text":
        path.write_text("weights")
    elif weights == "bare":
        place.save(place.own_checkpoint()["state_dict"])
    elif weights == "classifier":
        place.save(classifier_checkpoint())
    elif weights == "task":
        shutil.copy(segmentation_run / "checkpoints" / "last.ckpt", path)
    assert_refused(place.train("--weights", path), path)
    assert not place.output.exists()
    if weights != "task":
        assert_refused(run_tool("train", path), path)


def test_weights_of_another_network_to_begin_with(place: Workplace) -> None:
    last = place.run / "checkpoints" / "last.ckpt"
    for change, words in (
        ("backbone.width_mult=0.5", "weights of another architecture"),
        ("backbone.padding=same", "backbone.padding=symmetric (not same)"),
    ):
        assert_refused(place.train("--weights", last, change), last, words)
    assert_refused(run_tool("train", last, "head.width_mult=0.5"), "another architecture")
    assert not place.output.exists()


# The machine


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(place: Workplace) -> None:
    outcome = place.train("training.accelerator=gpu")
    assert_refused(outcome, "training.accelerator=gpu", "training.accelerator=auto")
    outcome = run_tool(
        "evaluate",
        place.run / "checkpoints" / "best.ckpt",
        "training.accelerator=gpu",
        "--out",
        place.folder,
    )
    assert_refused(outcome, "training.accelerator=gpu")


def test_sync_batchnorm_on_cpu_processes(place: Workplace) -> None:
    outcome = place.train("training.devices=2", "training.sync_batchnorm=true")
    assert_refused(outcome, "training.sync_batchnorm", "GPU")


def test_output_that_cannot_be_written(place: Workplace) -> None:
    place.output.write_text("a file")
    assert_refused(place.train(), place.output, "training.output")


@pytest.mark.parametrize("tool", ["evaluate", "predict"])
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_out_that_is_a_file(place: Workplace, tool: str, out: str) -> None:
    (place.folder / "file").write_text("mine")
    weights = place.run / "checkpoints" / "best.ckpt"
    arguments = [place.data / "val2017", "--weights", weights] if tool == "predict" else [weights]
    outcome = run_tool(tool, *arguments, "--out", place.folder / out)
    assert_refused(outcome, f"--out {place.folder / out}", "is no folder that can be written to")
    assert (place.folder / "file").read_text() == "mine"


def test_data_set_to_draw_where_a_file_is(place: Workplace) -> None:
    (place.folder / "file").write_text("a file")
    outcome = place.train(f"data.root={place.folder / 'file' / 'shapes'}")
    assert_refused(outcome, place.folder / "file")


def test_drawing_over_a_folder(place: Workplace) -> None:
    assert_refused(run_tool("make_shapes", place.data), place.data, "exists already")


# Bad pictures


TASKS = ["detection", "segmentation"]
SKIP = "data.on_bad_image=skip"
BAD_PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) * 2 // 3],
    "empty": lambda _: b"",
    "text": lambda _: b"not a picture",
    "bomb": lambda _: big_picture(60000),
}


def big_picture(side: int) -> bytes:
    """A PNG of some hundred bytes that says it has side x side pixels."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


class Pictures(NamedTuple):
    """A copy of the tiny data set, a task that reads it, and a run of it."""

    folder: Path
    data: Path
    task: str
    run: Path

    def train(self, *arguments: object) -> Outcome:
        start = train if self.task == "detection" else train_segmenter
        return start(self.data, self.folder / "runs", *arguments)

    def evaluate(self, *arguments: object) -> Outcome:
        weights, out = self.run / "checkpoints" / "last.ckpt", self.folder / "evaluation"
        root = f"data.root={self.data}"
        return run_tool("evaluate", weights, root, "--out", out, *arguments)

    def predict(self, source: Path) -> Outcome:
        weights, out = self.run / "checkpoints" / "last.ckpt", self.folder / "predictions"
        return run_tool("predict", source, "--weights", weights, "--out", out)

    def paths(self, split: str = "val") -> list[Path]:
        return sorted((self.data / f"{split}2017").iterdir())

    def masks(self, split: str = "val") -> list[Path]:
        return sorted((self.data / "label_maps" / f"{split}2017").iterdir())

    def resize(self, split: str, sizes: Sequence[tuple[int, int]]) -> None:
        """Gives the first pictures other sizes, with masks to match, and no boxes."""
        file = self.data / "annotations" / f"instances_{split}2017.json"
        content = json.loads(file.read_text())
        for path, mask, size in zip(self.paths(split), self.masks(split), sizes, strict=False):
            Image.new("RGB", size, "gray").save(path)
            Image.new("L", size, 1).save(mask)
            (image,) = (each for each in content["images"] if each["file_name"] == path.name)
            image.update(width=size[0], height=size[1])
            boxes = content["annotations"]
            content["annotations"] = [box for box in boxes if box["image_id"] != image["id"]]
        file.write_text(json.dumps(content))

    def leave_out(self, bad: Sequence[Path]) -> list[str]:
        """Takes pictures out of the validation set; what a segmenter must be told of that."""
        names = {path.name for path in bad}
        file = self.data / "annotations" / "instances_val2017.json"
        content = json.loads(file.read_text())
        content["images"] = [each for each in content["images"] if each["file_name"] not in names]
        ids = {each["id"] for each in content["images"]}
        boxes = content["annotations"]
        content["annotations"] = [each for each in boxes if each["image_id"] in ids]
        file.write_text(json.dumps(content))
        if self.task == "detection":
            return []
        kept = [path.stem for path in self.paths() if path.name not in names]
        (self.data / "kept.txt").write_text("\n".join(kept))
        return ["data.val_list=kept.txt"]


@pytest.fixture(params=TASKS)
def pictures(
    request: pytest.FixtureRequest,
    shapes_set: Path,
    trained_run: Path,
    segmentation_run: Path,
    tmp_path: Path,
) -> Pictures:
    shutil.copytree(shapes_set, tmp_path / "shapes")
    run = trained_run if request.param == "detection" else segmentation_run
    return Pictures(tmp_path, tmp_path / "shapes", request.param, run)


def spoil(path: Path, kind: str = "truncated") -> None:
    path.write_bytes(BAD_PICTURES[kind](path.read_bytes()))


def scores_of(folder: Path) -> dict[str, Any]:
    return {
        key: value
        for key, value in json.loads((folder / "metrics.json").read_text()).items()
        if key not in ("checkpoint", "unmeasured")
    }


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_picture_stops_an_evaluation(pictures: Pictures, workers: int) -> None:
    bad = pictures.paths()[1]
    spoil(bad)
    assert_refused(pictures.evaluate(f"data.num_workers={workers}"), f"{bad}: the image cannot be")


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_pictures_are_skipped_in_training(pictures: Pictures, kind: str) -> None:
    bad = [pictures.paths("train")[3], pictures.paths("train")[4], pictures.paths()[0]]
    for path in bad:
        spoil(path, kind)
    outcome = pictures.train(SKIP, "training.epochs=2", f"data.num_workers={len(kind) % 2}")
    outcome.require_success()
    assert outcome.out.count(" pictures cannot be used and are skipped (all in ") == 1
    assert "3 pictures cannot be used and are skipped (all in " in outcome.out
    assert f"1 of 6 pictures could not be used and were not measured: {bad[2]}: " in outcome.out
    run = only_run(pictures.folder / "runs")
    lines = (run / "bad_images.txt").read_text().splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == [str(path) for path in bad]
    assert checkpoint(run)["global_step"] == 2 * STEPS
    left_out = json.loads((run / "metrics.json").read_text())["unmeasured"]
    assert (left_out["count"], left_out["of"]) == (1, 6)
    assert left_out["pictures"] == [line for line in lines if line.startswith(str(bad[2]))]


def test_bad_pictures_stop_a_training_by_default(pictures: Pictures) -> None:
    spoil(pictures.paths("train")[3])
    assert_refused(pictures.train(), f"{pictures.paths('train')[3]}: the image cannot be read")


def test_an_evaluation_without_bad_pictures_is_that_of_the_others(pictures: Pictures) -> None:
    """A whole batch of bad ones, and one of another."""
    bad = [*pictures.paths()[:4], pictures.paths()[5]]
    for path in bad:
        spoil(path)
    outcome = pictures.evaluate(SKIP, "--pictures", "6").require_success()
    assert "5 of 6 pictures could not be used and were not measured: " in outcome.out
    assert "wrote 1 pictures" in outcome.out
    skipped = scores_of(pictures.folder / "evaluation")
    metrics = json.loads((pictures.folder / "evaluation" / "metrics.json").read_text())
    assert metrics["unmeasured"]["count"] == 5
    pictures.evaluate(*pictures.leave_out(bad)).require_success()
    assert scores_of(pictures.folder / "evaluation") == skipped


def test_a_set_of_bad_pictures_alone_is_refused(pictures: Pictures) -> None:
    for path in (*pictures.paths(), *pictures.paths("train")):
        spoil(path)
    words = "none of the 6 pictures to measure can be used"
    assert_refused(pictures.evaluate(SKIP), words, pictures.paths()[0])
    for workers in (0, 1):
        outcome = pictures.train(SKIP, f"data.num_workers={workers}")
        assert_refused(outcome, "12 pictures, one after the other, cannot be used")


@pytest.mark.parametrize("pictures", ["detection"], indirect=True)
def test_pictures_of_another_size_than_annotated_are_skipped(pictures: Pictures) -> None:
    for path in (pictures.paths("train")[2], pictures.paths()[3]):
        Image.new("RGB", (30, 20)).save(path)
    outcome = pictures.train(SKIP).require_success()
    assert "2 pictures cannot be used" in outcome.out
    assert f"1 of 6 pictures could not be used and were not measured: {path}: " in outcome.out


@pytest.mark.parametrize("pictures", ["segmentation"], indirect=True)
def test_bad_masks_are_skipped(pictures: Pictures) -> None:
    smaller, foreign, colored = pictures.masks("train")[1:4]
    Image.new("L", (SIZE, SIZE - 1)).save(smaller)
    Image.new("L", (SIZE, SIZE), 77).save(foreign)
    Image.new("RGB", (SIZE, SIZE), "red").save(colored)
    damaged = pictures.masks()[5]
    damaged.write_bytes(damaged.read_bytes()[:60])
    assert_refused(pictures.train(), "masks and pictures that cannot be used", smaller)
    outcome = pictures.train(SKIP).require_success()
    assert "3 masks cannot be used and are skipped" in outcome.out
    assert "4 pictures cannot be used and are skipped" in outcome.out
    assert f"1 of 6 pictures could not be used and were not measured: {damaged}: " in outcome.out
    named = (only_run(pictures.folder / "runs") / "bad_images.txt").read_text()
    assert all(str(path) in named for path in (smaller, foreign, colored, damaged))


def test_a_bad_picture_does_not_stop_a_folder(pictures: Pictures) -> None:
    bad = pictures.paths()[: len(BAD_PICTURES)]
    for path, kind in zip(bad, BAD_PICTURES, strict=True):
        spoil(path, kind)
    (pictures.data / "val2017" / "folder.jpg").mkdir()
    outcome = pictures.predict(pictures.data / "val2017")
    assert_refused(outcome, "4 of 6 pictures failed: ", *[f"{path}: " for path in bad])
    assert "records of 6 pictures" in outcome.out
    done = {line.split(": ")[0] for line in outcome.out.splitlines() if " -> " in line}
    assert done == {str(path) for path in pictures.paths()[4:6]}


ODD_MODES: dict[str, tuple[str, str]] = {
    "CMYK": ("CMYK", "JPEG"),
    "gray": ("L", "JPEG"),
    "gray with alpha": ("LA", "PNG"),
    "RGBA": ("RGBA", "PNG"),
    "palette": ("P", "PNG"),
    "1-bit": ("1", "PNG"),
    "16-bit": ("I;16", "PNG"),
    "GIF": ("P", "GIF"),
    "WebP": ("RGB", "WEBP"),
    "BMP": ("RGB", "BMP"),
    "TIFF": ("RGB", "TIFF"),
}


def test_odd_modes_and_formats_are_converted(pictures: Pictures) -> None:
    """All of them under the names .jpg that the annotations have."""
    for split in ("train", "val"):
        odd = list(ODD_MODES.values())[:: 1 if split == "train" else 2]
        for path, (mode, form) in zip(pictures.paths(split), odd, strict=False):
            with Image.open(path) as image:
                gray = np.asarray(image.convert("L")).astype(np.uint16) * 257
                same = Image.fromarray(gray) if mode == "I;16" else image.convert(mode)
            same.save(path, form)
    pictures.train().require_success()
    pictures.evaluate().require_success()
    pictures.predict(pictures.data / "train2017").require_success()


def test_extreme_shapes_give_results(pictures: Pictures) -> None:
    sizes = [(1, 1), (1, 20000), (20000, 1)]
    pictures.resize("train", sizes)
    pictures.train().require_success()
    # A segmenter looks at them window by window, which takes seconds each.
    pictures.resize("val", sizes if pictures.task == "detection" else sizes[:2])
    pictures.evaluate().require_success()
    for size in (sizes[0], sizes[2]):
        Image.new("RGB", size).save(pictures.folder / "long.png")
        pictures.predict(pictures.folder / "long.png").require_success()


def rotate_by_exif(path: Path) -> None:
    """Says in the EXIF data that a viewer must turn the picture; the pixels stay as they are."""
    data = path.read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])


def test_annotations_are_of_stored_pixels_and_predictions_upright(pictures: Pictures) -> None:
    pictures.resize("val", [(48, 32)])
    pictures.evaluate().require_success()
    before = scores_of(pictures.folder / "evaluation")
    for path in (*pictures.paths("train"), *pictures.paths()):
        rotate_by_exif(path)
    pictures.evaluate().require_success()
    assert scores_of(pictures.folder / "evaluation") == before
    pictures.train().require_success()
    losses = [
        logged(read_log(run), "train/loss")
        for run in (only_run(pictures.folder / "runs"), pictures.run)
    ]
    assert losses[0] == losses[1]
    pictures.predict(pictures.paths()[0]).require_success()
    drawn = [image_size(path) for path in (pictures.folder / "predictions").rglob("*.png")]
    assert ImageSize(48, 32) in drawn
