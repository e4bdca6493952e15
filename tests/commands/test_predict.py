import shutil
import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from mnv2_dense.backbone.classifier import Classifier
from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.commands.outputs import JOB_FOLDER
from mnv2_dense.commands.prediction_list import number_pictures
from tests.commands.classifiers import CLASS_NAMES, classifier_checkpoint, reference
from tests.commands.tiny import CONFIG, NETWORK, Outcome, read_json, run_tool, tree

WIDTH, HEIGHT = 90, 60
ORIENTATION, ROTATED = 0x0112, 6
"""EXIF tag of the orientation, and its value for "turn by a quarter"."""


@pytest.fixture(scope="module")
def weights(trained_run: Path) -> Path:
    return trained_run / "checkpoints" / "best.ckpt"


def predict(weights: Path, out: Path, *sources: object, threshold: float = 0.01) -> Outcome:
    return run_tool(
        *("predict", *sources, "--weights", weights, "--out", out),
        *("--score-threshold", threshold, "--engine", "torch"),
    )


def picture(path: Path, *, mode: str = "RGB", orientation: int | None = None) -> Path:
    """A picture of noise, WIDTH by HEIGHT as stored."""
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    if orientation is not None:
        image.getexif()[ORIENTATION] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=image.getexif())
    return path


def results_of(out: Path, file_name: str | None = None) -> list[dict[str, Any]]:
    results = read_json(out / "detections.json")
    return [each for each in results if file_name in (None, each["file_name"])]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def assert_within(results: Sequence[dict[str, Any]], width: int, height: int) -> None:
    assert results
    for x, y, w, h in (result["bbox"] for result in results):
        assert 0 <= x <= x + w <= width + 1e-3
        assert 0 <= y <= y + h <= height + 1e-3


def test_pictures_and_folders(weights: Path, shapes_set: Path, tmp_path: Path) -> None:
    single = picture(tmp_path / "one.png")
    outcome = predict(weights, tmp_path / "out", shapes_set / "val2017", single)
    outcome.require_success()
    folder = sorted((shapes_set / "val2017").iterdir())
    expected = {*(f"{path.stem}.png" for path in folder), "one.png", "detections.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*expected, JOB_FOLDER}
    assert size_of(tmp_path / "out" / "one.png") == (WIDTH, HEIGHT)
    results = results_of(tmp_path / "out")
    assert {result["file_name"] for result in results} == {single.name, *(p.name for p in folder)}
    assert {"image_id", "category_id", "bbox", "score"} <= results[0].keys()
    assert {result["category_id"] for result in results} <= category_ids(shapes_set)
    assert_within(results_of(tmp_path / "out", "one.png"), WIDTH, HEIGHT)


def category_ids(shapes_set: Path) -> set[int]:
    content = read_json(shapes_set / "annotations" / "instances_val2017.json")
    return {category["id"] for category in content["categories"]}


def test_coco_pictures_keep_their_ids(weights: Path, shapes_set: Path, tmp_path: Path) -> None:
    predict(weights, tmp_path, shapes_set / "val2017").require_success()
    ids = {image["id"] for image in images_of(shapes_set)}
    assert {result["image_id"] for result in results_of(tmp_path)} == ids


def images_of(shapes_set: Path) -> list[dict[str, Any]]:
    return read_json(shapes_set / "annotations" / "instances_val2017.json")["images"]


def test_no_data_set_is_needed(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shapes_set: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "best.ckpt"
    shutil.copy(trained_run / "checkpoints" / "best.ckpt", moved)
    hidden = shapes_set.rename(shapes_set.with_name("hidden"))
    try:
        predict(moved, tmp_path / "out", picture(tmp_path / "one.png")).require_success()
    finally:
        hidden.rename(shapes_set)


def test_the_threshold_is_obeyed(weights: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "one.png")
    predict(weights, tmp_path / "low", source, threshold=0.0).require_success()
    scores = sorted(result["score"] for result in results_of(tmp_path / "low"))
    middle = scores[len(scores) // 2]
    predict(weights, tmp_path / "high", source, threshold=middle).require_success()
    high = [result["score"] for result in results_of(tmp_path / "high")]
    assert 0 < len(high) < len(scores)
    assert min(high) >= middle


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_out_of_range(weights: Path, tmp_path: Path, threshold: float) -> None:
    outcome = predict(weights, tmp_path / "out", tmp_path, threshold=threshold)
    assert outcome.code == 2
    assert "from 0 to 1" in outcome.err


def test_a_rotated_photo_is_shown_and_measured_upright(weights: Path, tmp_path: Path) -> None:
    photo = picture(tmp_path / "photo.jpg", orientation=ROTATED)
    predict(weights, tmp_path / "out", photo).require_success()
    assert size_of(tmp_path / "out" / "photo.png") == (HEIGHT, WIDTH)
    assert_within(results_of(tmp_path / "out"), HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "L"), ("a.png", "RGBA"), ("a.png", "P"), ("a.jpg", "CMYK"), ("a.gif", "P")],
)
def test_colour_modes(weights: Path, tmp_path: Path, name: str, mode: str) -> None:
    predict(weights, tmp_path / "out", picture(tmp_path / name, mode=mode)).require_success()
    with Image.open(tmp_path / "out" / "a.png") as drawn:
        assert drawn.mode == "RGB"


def test_a_corrupt_picture_is_named_and_the_others_are_done(weights: Path, tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        picture(tmp_path / "in" / name)
    broken = tmp_path / "in" / "b.png"
    broken.write_bytes((tmp_path / "in" / "a.png").read_bytes()[:200])
    outcome = predict(weights, tmp_path / "out", tmp_path / "in")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: 1 of 3 pictures failed: {broken}: ")
    assert outcome.err.count("\n") == 1
    assert {result["file_name"] for result in results_of(tmp_path / "out")} == {"a.png", "c.png"}
    assert not (tmp_path / "out" / "b.png").exists()


def test_equal_names_do_not_overwrite_each_other(weights: Path, tmp_path: Path) -> None:
    sources = [picture(tmp_path / folder / "x.png") for folder in ("a", "b", "c")]
    predict(weights, tmp_path / "out", *sources).require_success()
    written = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert written == {"x.png", "x-2.png", "x-3.png"}
    assert {result["image_id"] for result in results_of(tmp_path / "out")} == {1, 2, 3}


def test_sources_are_never_overwritten(weights: Path, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "x.png")
    picture(tmp_path / "in" / "x-2.png")
    picture(tmp_path / "in" / "y.jpg")
    before = tree(tmp_path / "in")
    sources = sorted((tmp_path / "in").iterdir())
    predict(weights, tmp_path / "in", *sources).require_success()
    after = tree(tmp_path / "in")
    assert {name: after[name] for name in before} == before
    written = {name for name in after if JOB_FOLDER not in name}
    assert len(written) == 2 * len(before) + 1  # a picture each, and records


def test_sources_below_the_output_folder_are_predicted(weights: Path, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "x.png")
    predict(weights, tmp_path, tmp_path / "in").require_success()
    assert (tmp_path / "x.png").is_file()


def test_earlier_results_are_no_sources(weights: Path, tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    for _ in range(2):
        predict(weights, tmp_path / "out", tmp_path).require_success()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"x.png", "detections.json", JOB_FOLDER}


def test_no_picture_found(weights: Path, tmp_path: Path) -> None:
    outcome = predict(weights, tmp_path / "out", tmp_path / "nowhere.jpg")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "nowhere.jpg: no such file or folder" in outcome.err


@pytest.mark.parametrize(
    ("stems", "ids"),
    [
        (["000000000139", "000000000285"], [139, 285]),
        (["7", "007"], [1, 2]),  # one number twice
        (["3", "cat"], [1, 2]),
    ],
)
def test_image_ids(stems: list[str], ids: list[int]) -> None:
    assert number_pictures([f"{stem}.jpg" for stem in stems]) == ids


def test_overrides_stand_among_the_pictures(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b=c.png")
    arguments = [first, "decode.max_detections=1", second.name]
    predict(weights, tmp_path / "out", *arguments).require_success()
    names = [result["file_name"] for result in results_of(tmp_path / "out")]
    assert names == ["a.png", "b=c.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["decode.max_detections=0"], "give at least one picture"),
        (["a.png", "decode.max_detectons=1"], "did you mean decode.max_detections?"),
        (["a.png", "nosuch=x.png"], "nosuch is no known key"),
    ],
)
def test_overrides_that_are_none(
    weights: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    picture(tmp_path / "a.png")
    outcome = run_tool("predict", *arguments, "--weights", weights, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "out").exists()


# Classifiers


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Torchvision's smallest network, with random weights and the classes of TensorFlow."""
    path = tmp_path_factory.mktemp("classifier") / "weights.pth"
    torch.save(reference(1001, 0.35).state_dict(), path)
    return path


def classify(weights: object, out: Path, *arguments: object) -> Outcome:
    small = ("input.height=64", "input.width=64")
    return run_tool("predict", *arguments, *small, "--weights", weights, "--out", out)


def test_a_classifier_names_pictures(classifier: Path, tmp_path: Path) -> None:
    first, second = picture(tmp_path / "in" / "a.png"), picture(tmp_path / "in" / "b.jpg")
    outcome = classify(classifier, tmp_path / "out", tmp_path / "in").require_success()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"classes.json", JOB_FOLDER}
    records = read_json(tmp_path / "out" / "classes.json")
    assert [record["file_name"] for record in records] == [str(first), str(second)]
    classes = records[0]["classes"]
    scores = [each["score"] for each in classes]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    names = ["background", *MobileNet_V2_Weights.IMAGENET1K_V2.meta["categories"]]
    assert [each["name"] for each in classes] == [names[each["label"]] for each in classes]
    shown = ", ".join(f"{each['name']} {each['score']:.1%}" for each in classes)
    assert outcome.out.splitlines()[0] == f"{first}: {shown}"


@pytest.mark.parametrize(("top", "named"), [(1, 1), (3, 3), (5000, 1001)])
def test_as_many_classes_as_asked_for(
    classifier: Path, tmp_path: Path, top: int, named: int
) -> None:
    source = picture(tmp_path / "a.png")
    classify(classifier, tmp_path / "out", source, "--top", top).require_success()
    (record,) = read_json(tmp_path / "out" / "classes.json")
    assert len({each["label"] for each in record["classes"]}) == named


def test_own_classifiers_name_pictures_too(tmp_path: Path) -> None:
    network = Classifier(MobileNetV2(("last",), width_mult=0.35), 2)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "own.pth")
    source = picture(tmp_path / "a.png")
    outcome = classify(tmp_path / "own.pth", tmp_path / "out", source).require_success()
    assert "class 0 " in outcome.out
    assert "class 1 " in outcome.out


@pytest.fixture(scope="module")
def stored_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "classifier.ckpt"
    torch.save(classifier_checkpoint(), path)
    return path


def test_a_classifier_with_its_own_config_opens_by_itself(
    stored_classifier: Path, tmp_path: Path
) -> None:
    """Its width is none that is looked for, and its classes have names of their own."""
    source = picture(tmp_path / "a.png")
    arguments = (source, "--weights", stored_classifier, "--out", tmp_path / "out", "--top", 2)
    outcome = run_tool("predict", *arguments).require_success()
    (record,) = read_json(tmp_path / "out" / "classes.json")
    assert {each["name"] for each in record["classes"]} < set(CLASS_NAMES)
    shown = ", ".join(f"{each['name']} {each['score']:.1%}" for each in record["classes"])
    assert outcome.out.splitlines()[0] == f"{source}: {shown}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--score-threshold", "0.5"], "--score-threshold is for detectors and joint networks; "),
        (["backbone.padin=same"], "did you mean backbone.padding?"),
        (["backbone.width_mult=0.35"], "weights of another architecture"),
        (["backbone.shortcut=none"], "was trained with backbone.shortcut=bottleneck"),
        (["task=detection"], 'task cannot be "detection"; allowed: classification'),
    ],
)
def test_what_a_classifier_with_its_own_config_is_not_asked_for(
    stored_classifier: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    given = (picture(tmp_path / "a.png"), *arguments, "--weights", stored_classifier)
    outcome = run_tool("predict", *given, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert words in outcome.err
    assert not (tmp_path / "out").exists()


def test_only_predictions_take_a_classifier(stored_classifier: Path, shapes_set: Path) -> None:
    config, data = (CONFIG, *NETWORK), f"data.root={shapes_set}"
    for arguments in ((stored_classifier,), (*config, data, "--weights", stored_classifier)):
        outcome = run_tool("evaluate", *arguments)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert f"error: {stored_classifier}: a classifier, which has no task" in outcome.err
        assert "mnv2-dense predict --weights, or give it as backbone.weights" in outcome.err


def test_no_run_goes_on_from_a_classifier(
    trained_run: Path, stored_classifier: Path, shapes_set: Path, tmp_path: Path
) -> None:
    """Nor from one that holds what a run's checkpoint holds."""
    last = torch.load(trained_run / "checkpoints" / "last.ckpt", weights_only=True)
    classifier = torch.load(stored_classifier, weights_only=True)
    torch.save({**last, **classifier}, tmp_path / "c.ckpt")
    arguments = (CONFIG, *NETWORK, f"data.root={shapes_set}", f"training.output={tmp_path / 'r'}")
    outcome = run_tool("train", *arguments, "--resume", tmp_path / "c.ckpt")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "c.ckpt: a classifier, which has no task" in outcome.err


def test_a_rotated_photo_is_named_upright(classifier: Path, tmp_path: Path) -> None:
    upright, photo = tmp_path / "upright.png", picture(tmp_path / "a.png", orientation=ROTATED)
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.ROTATE_270).save(upright)
    stored = picture(tmp_path / "stored.png")
    classify(classifier, tmp_path / "out", upright, photo, stored).require_success()
    first, second, other = read_json(tmp_path / "out" / "classes.json")
    assert first["classes"] == second["classes"] != other["classes"]


def test_a_corrupt_picture_is_named_and_the_others_are_classified(
    classifier: Path, tmp_path: Path
) -> None:
    good = picture(tmp_path / "in" / "a.png")
    broken = tmp_path / "in" / "b.png"
    broken.write_bytes(good.read_bytes()[:200])
    outcome = classify(classifier, tmp_path / "out", tmp_path / "in")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: 1 of 2 pictures failed: {broken}: ")
    assert [r["file_name"] for r in read_json(tmp_path / "out" / "classes.json")] == [str(good)]


def test_classes_of_the_users_are_never_overwritten(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("mine")
    outcome = classify(classifier, tmp_path, picture(tmp_path / "a.png"))
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "classes.json is there and no result of an earlier prediction" in outcome.err
    assert (tmp_path / "classes.json").read_text() == "mine"


def test_imagenet_is_torchvisions_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(_: object, **options: Any) -> dict[str, torch.Tensor]:
        asked.update(options)
        return mobilenet_v2().state_dict()

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", download)
    monkeypatch.chdir(tmp_path)
    classify("imagenet", Path("out"), picture(Path("a.png"))).require_success()
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True
    asked.clear()
    assert "no such checkpoint file" in classify("./imagenet", Path("out"), "a.png").err
    assert not asked


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", fail)
    outcome = classify("imagenet", tmp_path / "out", picture(tmp_path / "a.png"))
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith("error: --weights imagenet: https://")
    assert "(<urlopen error no route to host>)" in outcome.err
    assert "backbone.weights" not in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--score-threshold", "0.5"], "--score-threshold is for detectors and joint networks; "),
        (["--top", "0"], "--top is at least 1, not 0"),
        (["input.heigth=3"], "did you mean input.height?"),
        (
            ["decode.max_detections=3"],
            "decode is no known key; allowed here: task, name, input, backbone",
        ),
    ],
)
def test_what_a_classifier_is_not_asked_for(
    classifier: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    outcome = classify(classifier, tmp_path / "out", picture(tmp_path / "a.png"), *arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_detector_names_no_pictures(weights: Path, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    outcome = run_tool("predict", source, "--weights", weights, "--top", 3)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"--top is for classifiers; {weights} is a detector" in outcome.err


def test_a_segmenter_names_no_pictures(segmentation_run: Path, tmp_path: Path) -> None:
    source, path = picture(tmp_path / "a.png"), segmentation_run / "checkpoints" / "last.ckpt"
    outcome = run_tool("predict", source, "--weights", path, "--top", 3)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"--top is for classifiers; {path} is a segmenter" in outcome.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"classifier.1.weight": torch.zeros(3, 4)}, "not a checkpoint of mnv2_dense"),
        ({"backbone.a": 3, "classifier.weight": "text"}, "not a checkpoint of mnv2_dense"),
        (
            {"features.0.weight": torch.zeros(1), "classifier.weight": torch.zeros(3, 4)},
            "no mobilenet_v2 classifier of width 0.35, 0.5, 0.75, 1.0, 1.3, 1.4 (nearest is ",
        ),
    ],
)
def test_weights_of_other_networks(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    outcome = classify(tmp_path / "other.pth", tmp_path / "out", picture(tmp_path / "a.png"))
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert words in outcome.err
