import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mnv2_dense.commands.comparison import SHOWN_LAYERS
from tests.commands.classifiers import classifier_checkpoint
from tests.commands.tiny import Outcome, read_json, run_tool

FLOAT = "deeplabv3_257_mv_gpu"
DETECTOR = "ssdlite_mobilenet_v2_coco_0.5_200x200"
PICTURE = "data/pictures/dog_segmentation.bmp"
VOC = "data/voc/VOC2012"
COCO = "data/coco"

Imports = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def imports(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Imports:
    """A shared .tflite file, and the checkpoint that it was imported to."""
    folder = tmp_path_factory.mktemp("imports")

    def import_file(name: str) -> tuple[Path, Path]:
        source, checkpoint = shared / "data/weights" / f"{name}.tflite", folder / f"{name}.ckpt"
        if not checkpoint.exists():
            run_tool("import_weights", source, "--out", checkpoint).require_success()
        return source, checkpoint

    return import_file


def perturb(checkpoint: Path, tensor: str, out: Path, change: float) -> Path:
    """A copy of a checkpoint with one weight changed."""
    content = torch.load(checkpoint, weights_only=True)
    (name,) = (name for name in content["state_dict"] if name.endswith(tensor))
    content["state_dict"][name].view(-1)[0] += change
    torch.save(content, out)
    return out


def complaint(outcome: Outcome) -> str:
    """The one line of a refused command."""
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    return outcome.err


def test_a_float_file_is_met_within_its_bounds(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    outcome = run_tool("verify_weights", *imports(FLOAT), shared / PICTURE, "--json", report)
    outcome.require_success()
    assert "the checkpoint computes what the file computes" in outcome.out
    figures = read_json(report)
    assert figures["same"] is True
    assert figures["equal_pixels"] >= 0.9999
    assert figures["outputs"][0]["difference"] <= 1e-3
    layers = {each["name"]: each for each in figures["layers"]}
    assert len(layers) == 65
    assert {"backbone.stem", "backbone.blocks.16", "head.image_pooling"} < set(layers)
    assert max(each["relative"] for each in layers.values()) < 1e-3


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [
        (FLOAT, "input.mean=[123.675, 116.28, 103.53]", "input.mean=[1"),
        (FLOAT, "head.align_corners=false", "head.align_corners=true (not false)"),
        (DETECTOR, "anchors.min_scale=0.1", "anchors.min_scale="),
        (DETECTOR, "anchors.scales=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]", "anchors.scales=null (not"),
        (DETECTOR, "anchors.lowest_scale=0.05", "anchors.lowest_scale=0.1 (not 0.05)"),
    ],
)
def test_a_key_that_the_file_decides_is_compared(
    imports: Imports, shared: Path, name: str, key: str, words: str
) -> None:
    outcome = run_tool("verify_weights", *imports(name), shared / PICTURE, key)
    assert outcome.code == 1
    assert f"DIFFERENT: the file is a network with {words}" in outcome.out
    assert "computes what the file computes" not in outcome.out


def test_the_verdict_says_what_is_not_compared(imports: Imports, shared: Path) -> None:
    outcome = run_tool("verify_weights", *imports(FLOAT), shared / PICTURE).require_success()
    assert "(not compared: how pictures are resized, and the data's protocol)" in outcome.out


def test_lost_boxes_of_a_quantised_file_are_different(imports: Imports, shared: Path) -> None:
    decode = ("decode.score_threshold=0.9", "decode.max_detections=1")
    pictures = shared / "data/pictures"
    outcome = run_tool("verify_weights", *imports(DETECTOR), pictures, *decode)
    assert outcome.code == 1
    assert "boxes; at most 10% may be lost" in outcome.out


def test_a_changed_weight_is_found_where_it_is(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    source, checkpoint = imports(FLOAT)
    other = perturb(checkpoint, "blocks.3.depthwise.0.weight", tmp_path / "other.ckpt", 0.5)
    outcome = run_tool("verify_weights", source, other, shared / PICTURE)
    assert outcome.code == 1
    assert "DIFFERENT: " in outcome.out
    assert "the first layer that differs is backbone.blocks.3.depthwise, by up to" in outcome.out
    assert "1 of 326 tensors are not those of a new import" in outcome.out
    assert outcome.out.count("backbone.") <= SHOWN_LAYERS + 2


def test_measured_norms_change_weights_and_not_what_is_computed(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    source, _ = imports(FLOAT)
    photographs, measured = tmp_path / "photographs", tmp_path / "measured.ckpt"
    photographs.mkdir()
    (photographs / "dog.bmp").write_bytes((shared / PICTURE).read_bytes())
    run_tool("import_weights", source, "--out", measured, "--calibrate", photographs)
    outcome = run_tool("verify_weights", source, measured, shared / PICTURE)
    assert "the checkpoint computes what the file computes" in outcome.require_success().out


def test_layers_of_a_quantised_file_differ_by_its_rounding_only(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    outcome = run_tool("verify_weights", *imports(DETECTOR), shared / PICTURE, "--json", report)
    outcome.require_success()
    figures = read_json(report)
    assert figures["quantized"] is True
    assert max(each["steps"] for each in figures["layers"]) < 1
    assert figures["boxes"] == figures["found"] > 0
    codes, scores = figures["outputs"]
    assert codes["correlation"] > 0.99
    assert scores["correlation"] > 0.99


def test_a_changed_weight_is_found_beneath_the_rounding(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    source, checkpoint = imports(DETECTOR)
    other = perturb(checkpoint, "class_branches.2.1.bias", tmp_path / "other.ckpt", 0.2)
    outcome = run_tool("verify_weights", source, other, shared / PICTURE)
    assert outcome.code == 1
    assert "DIFFERENT: the first layer that differs is head.class_branches.2.1" in outcome.out


def test_a_segmenter_is_scored_beside_its_file(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    names = (shared / VOC / "ImageSets/Segmentation/val.txt").read_text().split()[:2]
    chosen = tmp_path / "two.txt"
    chosen.write_text("\n".join(names))
    report = tmp_path / "report.json"
    outcome = run_tool(
        *("verify_weights", *imports(FLOAT), "--score", "--json", report),
        *(f"data.root={shared / VOC}", f"data.val_list={chosen}", "data.num_workers=0"),
    ).require_success()
    assert "validation set: 2 images" in outcome.out
    scores = read_json(report)["scores"]["mIoU"]
    assert scores["file"] > 0.2
    assert scores["ours"] == pytest.approx(scores["file"], abs=1e-3)


def test_a_detector_is_scored_beside_the_boxes_of_its_file(
    imports: Imports, shared: Path, tmp_path: Path
) -> None:
    content = json.loads((shared / COCO / "annotations/instances_val2017.json").read_text())
    content["images"] = content["images"][:4]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] in kept]
    annotations = tmp_path / "four.json"
    annotations.write_text(json.dumps(content))
    report = tmp_path / "report.json"
    run_tool(
        *("verify_weights", *imports(DETECTOR), "--score", "--json", report),
        *(f"data.root={shared / COCO}", f"data.val_annotations={annotations}"),
        *("data.num_workers=0", "data.val_batch_size=2"),
    ).require_success()
    scores = read_json(report)["scores"]["mAP"]
    assert scores["file"] > 0.05
    assert scores["ours"] == pytest.approx(scores["file"], abs=0.05)


def test_files_of_two_tasks_do_not_belong_together(imports: Imports, shared: Path) -> None:
    source, checkpoint = imports(FLOAT)[0], imports(DETECTOR)[1]
    text = complaint(run_tool("verify_weights", source, checkpoint, shared / PICTURE))
    assert "do not belong together: the checkpoint is of task detection" in text
    assert "the file of task segmentation" in text


def test_networks_of_two_widths_do_not_belong_together(imports: Imports, shared: Path) -> None:
    # At the same size the first layer already differs in its channels.
    source = imports("deeplabv3_mnv2_pascal_quant")[0]
    checkpoint = imports(FLOAT)[1]
    size = ("input.height=513", "input.width=513")
    text = complaint(run_tool("verify_weights", source, checkpoint, shared / PICTURE, *size))
    assert "do not belong together" in text
    assert "backbone.stem" in text


def test_another_input_size_is_refused(imports: Imports, shared: Path) -> None:
    size = ("input.height=129", "input.width=129")
    text = complaint(run_tool("verify_weights", *imports(FLOAT), shared / PICTURE, *size))
    assert "takes pictures of 257x257, and our network is shown 129x129" in text


def test_a_classifier_has_no_score(tmp_path: Path, imports: Imports, shared: Path) -> None:
    source = imports("mobilenet_v2_1.0_224_quant")
    assert "is a classifier" in complaint(run_tool("verify_weights", *source, "--score"))
    report = tmp_path / "report.json"
    outcome = run_tool("verify_weights", *source, shared / PICTURE, "--json", report)
    assert "likeliest class: the same for 1 of 1 pictures" in outcome.require_success().out
    assert read_json(report)["other_class"] == []


def test_a_source_without_a_runtime_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.ckpt"
    torch.save(classifier_checkpoint(), checkpoint)
    for name in ("graph.pb", "release.tar.gz"):
        text = complaint(run_tool("verify_weights", tmp_path / name, checkpoint, "--score"))
        assert f"{name}: no .tflite file; only those can be run here" in text


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    text = complaint(run_tool("verify_weights", "a.tflite", "a.ckpt", tmp_path / "none.png"))
    assert "none.png: no such file or folder" in text


def test_there_must_be_something_to_compare(tmp_path: Path) -> None:
    outcome = run_tool("verify_weights", "a.tflite", "a.ckpt", "input.height=64")
    assert outcome.code == 2
    assert "give at least one picture or folder, or --score" in outcome.err
