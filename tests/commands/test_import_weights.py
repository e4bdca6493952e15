import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from mnv2_dense.backbone.mobilenet_v2 import MobileNetV2
from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.commands.classify import build_transform
from mnv2_dense.commands.import_weights import build, read_source
from mnv2_dense.config.classification import ClassifierInput
from mnv2_dense.config.schema import DetectionConfig
from mnv2_dense.importing.graphdef import read_graphdef
from mnv2_dense.importing.tflite import read_tflite
from mnv2_dense.structures import ImageSize
from tests.commands.classifiers import classifier_checkpoint, reference
from tests.commands.tiny import Outcome, only_run, read_json, run_tool, tree
from tests.importing.detector_networks import ssdlite_graph
from tests.importing.networks import classifier_graph, deeplab_graph
from tests.importing.random_networks import classifier, detector, segmenter
from tests.importing.released_files import CLASSIFIER, DEEPLAB_HALF, SSDLITE

SIZE = ImageSize(64, 64)
NARROW = {"width_mult": 0.1}
KINDS = ("detector", "segmenter", "classifier", "folded")


def write_graph(kind: str, path: Path) -> Any:
    """Writes a random network of one of the releases' kinds, and returns it."""
    if kind == "detector":
        network: Any = detector(3, NARROW, input={"height": 64, "width": 64})
        message = ssdlite_graph(network, SIZE)
    elif kind == "segmenter":
        network = segmenter(21, NARROW)
        message = deeplab_graph(network, ImageSize(65, 65))
    else:
        network = classifier(11, **NARROW)
        norm: Any = "folded" if kind == "folded" else "fused"
        message = classifier_graph(network, SIZE, norm=norm)
    path.write_bytes(message.SerializeToString())
    return network


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen graph of every kind, not to be changed."""
    folder = tmp_path_factory.mktemp("graphs")
    for kind in KINDS:
        write_graph(kind, folder / f"{kind}.pb")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    chance = np.random.default_rng(0)
    for number in range(6):
        coarse = chance.integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((90, 80)).save(folder / f"{number}.png")
    return folder


def convert(source: object, out: Path, *arguments: object) -> Outcome:
    return run_tool("import_weights", source, "--out", out, *arguments)


def refusal(*arguments: object) -> str:
    outcome = run_tool("import_weights", *arguments)
    assert outcome.code == 2, outcome.out + outcome.err
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err


def state_of(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def assert_holds(state: dict[str, Tensor], network: nn.Module, prefix: str = "") -> None:
    own = network.state_dict()
    assert {f"{prefix}{name}" for name in own} == set(state)
    for name, tensor in own.items():
        torch.testing.assert_close(state[f"{prefix}{name}"], tensor, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["detector", "segmenter", "classifier"])
def test_a_graph_becomes_a_checkpoint_and_a_report(kind: str, tmp_path: Path) -> None:
    network = write_graph(kind, tmp_path / "frozen.pb")
    out = tmp_path / "made" / "a.ckpt"
    outcome = convert(tmp_path / "frozen.pb", out).require_success()
    report = tmp_path / "made" / "a.ckpt.import.json"
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, report.name]
    assert outcome.out.splitlines()[-1] == f"wrote {out} and {report}"
    assert_holds(state_of(out), network, "" if kind == "classifier" else "network.")
    content = read_json(report)
    assert (
        f"{len(content['used'])} tensors became {len(network.state_dict())} of ours; "
        f"{len(content['not_needed'])} are not needed"
    ) in outcome.out
    assert "frozen.pb: " in outcome.out
    assert "MobileNetV2 of width 0.1, output stride" in outcome.out
    digest = hashlib.sha256((tmp_path / "frozen.pb").read_bytes()).hexdigest()
    assert content["source"] == {"name": "frozen.pb", "sha256": digest}
    card = torch.load(out, weights_only=True)["mnv2_dense"]
    assert card["source"] == content["source"]
    assert card["config"]["task"] == content["task"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_lists_every_constant_once(kind: str, graphs: Path, tmp_path: Path) -> None:
    convert(graphs / f"{kind}.pb", tmp_path / "a.ckpt").require_success()
    check_report(
        tmp_path / "a.ckpt.import.json", set(read_graphdef(graphs / f"{kind}.pb").constants)
    )


def check_report(path: Path, constants: set[str]) -> None:
    report = read_json(path)
    used, spare = report["used"], report["not_needed"]
    assert used
    assert not used.keys() & spare.keys()
    assert used.keys() | spare.keys() == constants
    assert all([*used.values(), *spare.values()])


def test_the_name_is_the_sources_where_no_other_is_given(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_tool("import_weights", graphs / "detector.pb").require_success()
    assert sorted(tree(tmp_path)) == ["detector.ckpt", "detector.ckpt.import.json"]
    (tmp_path / "inside").mkdir()
    shutil.copy(graphs / "detector.pb", "inside/frozen_inference_graph.pb")
    monkeypatch.chdir(tmp_path / "inside")
    run_tool("import_weights", ".").require_success()
    assert (tmp_path / "inside" / "inside.ckpt").is_file()


# What the checkpoint is good for


def test_an_imported_detector_is_measured_shown_and_trained(
    graphs: Path, shapes_set: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.ckpt"
    convert(graphs / "detector.pb", path, "decode.max_detections=3").require_success()
    config, categories, _ = open_checkpoint(path)
    assert isinstance(config, DetectionConfig)
    assert config.decode.max_detections == 3
    assert len(categories) == 3
    run_tool("predict", photos, "--weights", path, "--out", tmp_path / "p").require_success()
    outcome = run_tool("evaluate", path, f"data.root={shapes_set}")
    assert (outcome.code, "different classes" in outcome.err) == (2, True)
    data = [
        *(f"data.root={shapes_set}", "data.train_annotations=annotations/instances_train2017.json"),
        *("data.val_annotations=annotations/instances_val2017.json", "data.batch_size=4"),
        *("data.train_images=train2017", "data.val_images=val2017", "data.num_workers=0"),
        *("training.epochs=1", "training.accelerator=cpu", "schedule.warmup_steps=0"),
    ]
    outcome = run_tool("train", path, *data, f"training.output={tmp_path / 'runs'}")
    outcome.require_success()
    assert "of the layers of class logits random, as the classes differ" in outcome.out
    best = only_run(tmp_path / "runs") / "checkpoints" / "best.ckpt"
    run_tool("evaluate", best, "--out", tmp_path / "e").require_success()
    assert (tmp_path / "e" / "metrics.json").is_file()


def test_an_imported_segmenter_is_shown_pictures(
    graphs: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.ckpt"
    convert(graphs / "segmenter.pb", path).require_success()
    _, categories, _ = open_checkpoint(path)
    assert [category.name for category in categories][:2] == ["background", "aeroplane"]
    run_tool("predict", photos, "--weights", path, "--out", tmp_path / "p").require_success()
    assert len(list((tmp_path / "p" / "label_maps").iterdir())) == 6


def test_an_imported_classifier_is_shown_pictures(
    graphs: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.ckpt"
    convert(graphs / "classifier.pb", path).require_success()
    run_tool("predict", photos, "--weights", path, "--out", tmp_path / "p").require_success()
    (first, *_) = read_json(tmp_path / "p" / "classes.json")
    assert first["classes"][0]["name"].startswith("class ")
    card = torch.load(path, weights_only=True)["mnv2_dense"]
    assert card["categories"] == [[label, f"class {label}"] for label in range(11)]
    assert card["config"]["backbone"]["padding"] == "same"


# Torchvision's


def download(monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor]) -> None:
    def get(*_: object, **__: object) -> dict[str, Tensor]:
        return state

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", get)


def test_published_weights_are_imported_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = mobilenet_v2()
    download(monkeypatch, theirs.state_dict())
    out = tmp_path / "a.ckpt"
    convert("imagenet", out).require_success()
    card = torch.load(out, weights_only=True)["mnv2_dense"]
    assert [name for _, name in card["categories"]][:2] == ["tench", "goldfish"]
    assert card["source"] == {"name": "imagenet"}
    assert card["config"]["input"]["mean"] == [123.675, 116.28, 103.53]
    assert torch.equal(
        state_of(out)["classifier.weight"], theirs.state_dict()["classifier.1.weight"]
    )
    check_report(tmp_path / "a.ckpt.import.json", set(theirs.state_dict()))


def test_torchvisions_file_predicts_as_its_network(tmp_path: Path) -> None:
    theirs = reference(5, width_mult=0.1)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    imported = read_source(str(tmp_path / "w.pth"))
    ours, _, _ = build(imported)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs(images), rtol=1e-4, atol=1e-4)


# Statistics of folded batch norms


def outputs_of(path: Path, images: Tensor, *, training: bool = False) -> Tensor:
    state = state_of(path)
    backbone = MobileNetV2(("last",), width_mult=0.1, padding="same", norm_epsilon=0.001)
    backbone.load_state_dict(
        {
            name.removeprefix("backbone."): tensor
            for name, tensor in state.items()
            if name.startswith("backbone.")
        }
    )
    with torch.no_grad():
        return backbone.train(training)(images)["last"]


def photo_batch(folder: Path) -> Tensor:
    """The pictures as the classifier of 64 x 64 sees them."""
    transform = build_transform(
        ClassifierInput(height=64, width=64, mean=(127.5,) * 3, std=(127.5,) * 3)
    )
    return torch.stack([transform(Image.open(path)) for path in sorted(folder.iterdir())])


def test_calibration_gives_statistics_and_changes_no_output(
    graphs: Path, photos: Path, tmp_path: Path
) -> None:
    plain, measured = tmp_path / "plain.ckpt", tmp_path / "measured.ckpt"
    before = convert(graphs / "folded.pb", plain).require_success()
    assert "batch norms are folded in the file" in before.out
    assert "--calibrate FOLDER" in before.out
    after = convert(graphs / "folded.pb", measured, "--calibrate", photos).require_success()
    assert "batch norms are folded" not in after.out
    assert f"measured the batch norms' statistics on 6 pictures of {photos}" in after.out
    assert all(
        tensor.eq(tensor[0]).all()
        for name, tensor in state_of(plain).items()
        if "running_var" in name
    )
    images = photo_batch(photos)
    expected = outputs_of(plain, images)
    scale = expected.abs().max()
    assert (outputs_of(measured, images) - expected).abs().max() < 1e-4 * scale
    # In training a batch norm uses its batch's statistics: here, those that were measured.
    assert (outputs_of(measured, images, training=True) - expected).abs().max() < 1e-2 * scale
    assert (outputs_of(plain, images, training=True) - expected).abs().max() > 0.1 * scale


@pytest.mark.parametrize(
    ("kind", "override"),
    [
        ("detector", "decode.max_detections=3"),
        ("segmenter", "evaluation.flip=true"),
        ("segmenter", "evaluation.output_stride=8"),
    ],
)
def test_the_other_tasks_are_calibrated_too(
    kind: str, override: str, graphs: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.ckpt"
    convert(graphs / f"{kind}.pb", path, "--calibrate", photos, override).require_success()
    convert(graphs / f"{kind}.pb", tmp_path / "b.ckpt").require_success()
    one, other = open_checkpoint(path)[2], open_checkpoint(tmp_path / "b.ckpt")[2]
    changed = [
        name
        for (name, first), second in zip(
            one.state_dict().items(), other.state_dict().values(), strict=True
        )
        if "running_mean" in name and not torch.equal(first, second)
    ]
    norms = [each for each in one.modules() if isinstance(each, nn.BatchNorm2d)]
    assert len(changed) == len(norms)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        results: Any = zip(one.eval().network(images), other.eval().network(images), strict=True)
    for first, second in results:
        if first is not None:
            torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


# What is refused


@pytest.mark.parametrize("name", ["a.ckpt", "a.ckpt.import.json"])
def test_nothing_is_overwritten(graphs: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    out = tmp_path / "a.ckpt"
    message = refusal(graphs / "detector.pb", "--out", out)
    assert f"--out {out}: {tmp_path / name} is there already; give another name" in message
    assert tree(tmp_path) == {name: b"mine"}


def test_a_place_that_cannot_be_written(graphs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    message = refusal(graphs / "detector.pb", "--out", tmp_path / "file" / "a.ckpt")
    assert "is no folder that can be written to" in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.ckpt", classifier_checkpoint(), "is already a checkpoint of this project"),
        ("a.pth", {"a": torch.ones(1)}, "no weights of torchvision's mobilenet_v2"),
        ("a.pth", b"PK", "a.pth: "),
        ("a.pb", b"\x0a\xff\xff", "a.pb: "),
        ("a.tflite", b"TFL3" * 9, "a.tflite: "),
        ("a.h5", b"HDF", "of no format that is read here"),
        ("a.tflite", None, "no such file"),
        ("a.ckpt", None, "no such file"),
    ],
)
def test_what_cannot_be_imported(
    tmp_path: Path, name: str, content: bytes | dict[str, Any] | None, words: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / name)
    assert words in refusal(tmp_path / name, "--out", tmp_path / "made.ckpt")
    assert not (tmp_path / "made.ckpt").exists()


def test_a_runs_checkpoint_needs_no_import(trained_run: Path, tmp_path: Path) -> None:
    last = trained_run / "checkpoints" / "last.ckpt"
    message = refusal(last, "--out", tmp_path / "a.ckpt")
    assert f"{last}: is already a checkpoint of this project; train, evaluate and" in message


@pytest.mark.parametrize(
    ("kind", "override", "words"),
    [
        ("detector", "decode.max_detection=3", "did you mean decode.max_detections?"),
        ("detector", "backbone.width_mult=0.75", "backbone.width_mult=0.1 (not 0.75); override"),
        ("detector", "backbone.shortcut=none", "backbone.shortcut=bottleneck (not none)"),
        ("detector", "input.mean=[0, 0, 0]", "input.mean=[127.5, 127.5, 127.5] (not [0"),
        ("detector", "loss.classification=focal", "loss.classification=sigmoid (not focal)"),
        ("detector", "data.num_classes=7", "data.num_classes=7, but its network has"),
        ("segmenter", "data.classes=[a, b]", "different classes"),
        ("segmenter", "head.align_corners=false", "head.align_corners=true (not false)"),
        ("classifier", "backbone.padding=symmetric", "backbone.padding=same (not symmetric)"),
        ("detector", "task=segmentation", ""),
        ("classifier", "decode.max_detections=3", "decode is no known key"),
        ("classifier", "backbone.width_mult=0.75", "backbone.width_mult=0.1 (not 0.75); override"),
    ],
)
def test_changes_that_do_not_fit(
    graphs: Path, tmp_path: Path, kind: str, override: str, words: str
) -> None:
    outcome = run_tool("import_weights", graphs / f"{kind}.pb", override, "--out", tmp_path / "a")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert words in outcome.err
    assert not tree(tmp_path)


def test_changes_to_data_protocol_and_training_are_taken(graphs: Path, tmp_path: Path) -> None:
    keys = ("name=mine", "data.batch_size=3", "decode.nms_iou_threshold=0.5", "training.epochs=3")
    same = ("backbone.width_mult=0.1", "input.resize=legacy_bilinear", "data.num_classes=3")
    path = tmp_path / "a.ckpt"
    convert(graphs / "detector.pb", path, *keys, *same).require_success()
    config = open_checkpoint(path)[0]
    assert (config.name, config.data.batch_size, config.training.epochs) == ("mine", 3, 3)


def test_a_capital_suffix_is_no_part_of_the_name(
    graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(graphs / "classifier.pb", "Frozen.PB")
    run_tool("import_weights", "Frozen.PB").require_success()
    assert (tmp_path / "Frozen.ckpt").is_file()


def test_no_pictures_to_calibrate_on(graphs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        arguments = ("--out", tmp_path / "a.ckpt", "--calibrate", tmp_path / folder)
        assert folder in refusal(graphs / "folded.pb", *arguments)
    assert not (tmp_path / "a.ckpt").exists()


# Released files


@pytest.mark.parametrize("name", [SSDLITE, CLASSIFIER, DEEPLAB_HALF])
def test_released_files_are_imported(name: str, shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "weights" / name
    path = tmp_path / "a.ckpt"
    outcome = convert(source, path).require_success()
    assert "batch norms are folded" in outcome.out
    check_report(tmp_path / "a.ckpt.import.json", set(read_tflite(source).constants))
    card = torch.load(path, weights_only=True)["mnv2_dense"]
    names = [name for _, name in card["categories"]]
    assert names[:1] == [{SSDLITE: "person"}.get(name, "background")]
    assert json.dumps(card)
