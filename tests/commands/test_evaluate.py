import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv2_dense.detection.data import DetectionDataset
from mnv2_dense.drawing import READABLE_SIDE
from mnv2_dense.error_analysis import analyze_errors
from mnv2_dense.shapes.label_maps import LABEL_NAMES
from mnv2_dense.structures import DetectionSample, SampleKey
from tests.commands.tiny import (
    CONFIG,
    ROOT,
    SEGMENTATION_CONFIG,
    SIZE,
    VAL_IMAGES,
    read_json,
    run_tool,
    segmentation_overrides,
    tiny_overrides,
    tree,
)

SUMMARY = [
    *("mAP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
]


@pytest.fixture(scope="module")
def best(trained_run: Path) -> Path:
    return trained_run / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def evaluation(best: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `evaluate.py CHECKPOINT --out DIR --pictures 2` writes."""
    out = tmp_path_factory.mktemp("evaluation")
    outcome = run_tool("evaluate", best, "--out", out, "--pictures", 2).require_success()
    (out / "stdout.txt").write_text(outcome.out)
    return out


@pytest.fixture(scope="module")
def segmenter(segmentation_run: Path) -> Path:
    return segmentation_run / "checkpoints" / "best.ckpt"


@pytest.fixture
def _restored_signals() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def test_metrics_hold_the_twelve_numbers_and_every_class(evaluation: Path, best: Path) -> None:
    metrics = read_json(evaluation / "metrics.json")
    assert [key for key in metrics if key in SUMMARY] == SUMMARY
    assert metrics["images"] == VAL_IMAGES
    assert metrics["checkpoint"] == str(best)
    assert len(metrics["per_class"]) == 10
    assert set(metrics["per_class"]["star"]) == {
        *("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
    }


def test_tables_are_printed(evaluation: Path) -> None:
    text = (evaluation / "stdout.txt").read_text()
    assert "Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0." in text
    assert "hourglass" in text
    assert f"wrote {evaluation / 'metrics.json'}" in text


def test_where_ap_is_lost_is_written_and_printed(evaluation: Path, shapes_set: Path) -> None:
    truth = shapes_set / "annotations" / "instances_val2017.json"
    errors, metrics = (read_json(evaluation / name) for name in ("errors.json", "metrics.json"))
    assert errors == analyze_errors(truth, evaluation / "detections.json").as_dict()
    assert errors["ap50"] == pytest.approx(metrics["AP50"], abs=1e-12)
    assert errors["images"] == metrics["images"]
    lines = (evaluation / "stdout.txt").read_text().splitlines()
    assert sum(line.startswith(f"AP50 {metrics['AP50']:.3f}; AP lost to") for line in lines) == 1


def test_pycocotools_gives_the_same_numbers(
    evaluation: Path, shapes_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = COCO(shapes_set / "annotations" / "instances_val2017.json")
    evaluator = COCOeval(truth, truth.loadRes(str(evaluation / "detections.json")), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    capsys.readouterr()
    metrics = read_json(evaluation / "metrics.json")
    assert [metrics[key] for key in SUMMARY] == pytest.approx(list(evaluator.stats), abs=1e-6)
    assert metrics["mAP"] > 0


def test_pycocotools_gives_the_same_numbers_of_a_format_without_ids(
    best: Path, shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voc, out = tmp_path / "voc", tmp_path / "evaluation"
    root = f"data.root={shapes_set}"
    run_tool("convert_data", CONFIG, root, "--to", "voc", "--out", voc).require_success()
    names = [category["name"] for category in shape_categories(shapes_set)]
    keys = ["data.format=voc", f"data.root={voc}", f"data.classes=[{', '.join(names)}]"]
    places = ["images=JPEGImages", "annotations=Annotations", "list=ImageSets/Main/{}.txt"]
    keys += [f"data.{split}_{each}".format(split) for split in ("train", "val") for each in places]
    run_tool("evaluate", best, *keys, "--out", out).require_success()
    truth = COCO(out / "ground_truth.json")
    evaluator = COCOeval(truth, truth.loadRes(str(out / "detections.json")), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    capsys.readouterr()
    metrics = read_json(out / "metrics.json")
    assert [metrics[key] for key in SUMMARY] == pytest.approx(list(evaluator.stats), abs=1e-6)


def shape_categories(root: Path) -> list[dict[str, Any]]:
    return read_json(root / "annotations" / "instances_val2017.json")["categories"]


def test_pictures_show_truth_beside_predictions(evaluation: Path) -> None:
    pictures = sorted((evaluation / "pictures").iterdir())
    assert len(pictures) == 2
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.height == READABLE_SIDE
            assert picture.width > 2 * READABLE_SIDE
            truth = np.asarray(picture)[:, :READABLE_SIDE]
        assert truth.std() > 0


def test_a_negative_number_of_pictures(best: Path) -> None:
    outcome = run_tool("evaluate", best, "--pictures", -1)
    assert outcome.code == 2
    assert "at least 0, not -1" in outcome.err


def test_a_config_with_weights_gives_the_same(
    evaluation: Path, best: Path, shapes_set: Path, tmp_path: Path
) -> None:
    overrides = tiny_overrides(shapes_set, tmp_path)
    out = tmp_path / "out"
    run_tool("evaluate", CONFIG, "--weights", best, *overrides, "--out", out).require_success()
    assert read_json(out / "metrics.json") == read_json(evaluation / "metrics.json")


def test_overrides_change_the_checkpoints_config(best: Path, tmp_path: Path) -> None:
    run_tool("evaluate", best, "decode.max_detections=1", "--out", tmp_path).require_success()
    assert len(read_json(tmp_path / "detections.json")) == VAL_IMAGES


def test_the_default_folder_lies_in_the_run(
    trained_run: Path, tmp_path: Path, evaluation: Path
) -> None:
    copy = tmp_path / "run"
    (copy / "checkpoints").mkdir(parents=True)
    weights = copy / "checkpoints" / "best.ckpt"
    weights.write_bytes((trained_run / "checkpoints" / "best.ckpt").read_bytes())
    run_tool("evaluate", weights).require_success()
    metrics = read_json(copy / "evaluation-best" / "metrics.json")
    assert metrics["mAP"] == read_json(evaluation / "metrics.json")["mAP"]


def test_evaluation_leaves_the_run_as_it_is(trained_run: Path, best: Path, tmp_path: Path) -> None:
    before = tree(trained_run)
    run_tool("evaluate", best, "--out", tmp_path).require_success()
    assert tree(trained_run) == before


def test_two_processes_count_every_image_once(evaluation: Path, best: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools" / "evaluate.py", best, "training.devices=2"]
    # Batches of 2: one process has two batches, the other one.
    command += ["data.val_batch_size=2", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "metrics.json") == read_json(evaluation / "metrics.json")
    one, two = (read_json(folder / "detections.json") for folder in (evaluation, tmp_path))
    assert sorted(map(str, two)) == sorted(map(str, one))


@pytest.mark.long
def test_two_processes_name_bad_pictures_once(best: Path, shapes_set: Path, tmp_path: Path) -> None:
    """All pictures of the second process are bad, and none of the first one's."""
    data = tmp_path / "shapes"
    shutil.copytree(shapes_set, data)
    bad = sorted((data / "val2017").iterdir())[1::2]
    for path in bad:
        path.write_bytes(path.read_bytes()[:300])
    command = [sys.executable, ROOT / "tools" / "evaluate.py", best, "training.devices=2"]
    command += [f"data.root={data}", "data.on_bad_image=skip", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    unmeasured = read_json(tmp_path / "out" / "metrics.json")["unmeasured"]
    assert (unmeasured["count"], unmeasured["of"]) == (3, 6)
    assert [line.split(": ")[0] for line in unmeasured["pictures"]] == list(map(str, bad))
    assert done.stdout.count("3 of 6 pictures could not be used and were not measured") == 1


@pytest.mark.usefixtures("_restored_signals")
def test_ctrl_c_ends_with_one_line(
    best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = DetectionDataset.__getitem__

    def loaded(self: DetectionDataset, key: SampleKey) -> DetectionSample:
        if key.index == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return load(self, key)

    monkeypatch.setattr(DetectionDataset, "__getitem__", loaded)
    # A shell starts what runs in the background with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = run_tool("evaluate", best, "--out", tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.code == 130
    assert outcome.err == "interrupted\n"
    assert not (tmp_path / "out").exists()


# Segmentation


def test_a_segmenters_files_hold_every_pixel(segmenter: Path, tmp_path: Path) -> None:
    outcome = run_tool("evaluate", segmenter, "--out", tmp_path, "--pictures", 2)
    outcome.require_success()
    metrics = read_json(tmp_path / "metrics.json")
    assert {"mIoU", "pixel_accuracy", "frequency_weighted_IoU", "per_class"} <= metrics.keys()
    assert list(metrics["per_class"]) == list(LABEL_NAMES) == metrics["classes"]
    header, *rows = (tmp_path / "confusion_matrix.csv").read_text().splitlines()
    assert header.split(",") == ["true class", *LABEL_NAMES]
    matrix = [[int(cell) for cell in row.split(",")[1:]] for row in rows]
    assert matrix == metrics["confusion_matrix"]
    assert 0 < sum(map(sum, matrix)) <= VAL_IMAGES * SIZE**2
    with Image.open(tmp_path / "confusion_matrix.png") as picture:
        assert picture.mode == "RGB"
    names = {
        "metrics.json",
        "evaluation.yaml",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "picture_scores.csv",
        "pictures",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    for words in ("hourglass", "mIoU", f"{tmp_path / 'confusion_matrix.csv'}, "):
        assert words in outcome.out


def test_a_segmenters_checkpoint_gives_the_runs_own_numbers(
    segmentation_run: Path, segmenter: Path, shapes_set: Path, tmp_path: Path
) -> None:
    metrics = read_json(segmentation_run / "metrics.json")
    predicted = np.sum(metrics["confusion_matrix"], axis=0)
    assert np.count_nonzero(predicted) > 1, "the tiny segmenter sees one class everywhere"
    run_tool("evaluate", segmenter, "--out", tmp_path / "own").require_success()
    assert read_json(tmp_path / "own" / "metrics.json") == metrics
    overrides = segmentation_overrides(shapes_set, tmp_path)
    arguments = [SEGMENTATION_CONFIG, "--weights", segmenter, *overrides, "data.val_batch_size=1"]
    run_tool("evaluate", *arguments, "--out", tmp_path / "config").require_success()
    assert read_json(tmp_path / "config" / "metrics.json") == metrics


@pytest.mark.parametrize(
    "override",
    [
        "evaluation.scales=[0.5, 1.0, 1.5]",
        "evaluation.flip=true",
        "evaluation.output_stride=8",
        "input.height=33",  # now the pictures are larger than the window
    ],
)
def test_the_evaluation_section_changes_what_is_seen(
    segmentation_run: Path, segmenter: Path, tmp_path: Path, override: str
) -> None:
    run_tool("evaluate", segmenter, override, "--out", tmp_path).require_success()
    plain = np.array(read_json(segmentation_run / "metrics.json")["confusion_matrix"])
    changed = np.array(read_json(tmp_path / "metrics.json")["confusion_matrix"])
    assert (plain.sum(axis=1) == changed.sum(axis=1)).all()  # the same pixels are measured
    assert (plain != changed).any()


@pytest.mark.long
def test_two_processes_count_every_pixel_once(
    segmentation_run: Path, segmenter: Path, tmp_path: Path
) -> None:
    command = [sys.executable, ROOT / "tools" / "evaluate.py", segmenter, "training.devices=2"]
    command += ["data.val_batch_size=2", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "metrics.json") == read_json(segmentation_run / "metrics.json")
