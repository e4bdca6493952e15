import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from mnv2_dense.caching import preparing
from mnv2_dense.caching.table import Entry
from mnv2_dense.config.loader import load_config
from tests.commands.tiny import (
    CONFIG,
    SEGMENTATION_CONFIG,
    TRAIN_IMAGES,
    VAL_IMAGES,
    Outcome,
    config_of,
    read_json,
    run_tool,
    segmentation_overrides,
    tiny_overrides,
    train,
    tree,
)
from tests.formats import three_formats

PICTURES = TRAIN_IMAGES + VAL_IMAGES


def prepare(data: Path, out: Path, *arguments: object) -> Outcome:
    overrides = tiny_overrides(data, out.parent / "runs")
    return run_tool("prepare_cache", CONFIG, *overrides, "--out", out, *arguments)


def overrides_printed(outcome: Outcome) -> list[str]:
    words = shlex.split(outcome.out.splitlines()[-1])
    assert words[:2] == ["mnv2-dense", "train"]
    return words[3:]


def test_the_printed_command_trains_on_the_copy(shapes_set: Path, tmp_path: Path) -> None:
    before, out = tree(shapes_set), tmp_path / "out"
    outcome = prepare(shapes_set, out, "--longer-side", 32).require_success()
    assert f"{PICTURES} pictures in {out}, 0 of them from an earlier call" in outcome.out
    assert f"{PICTURES} are smaller: their sides are 0.50 of before" in outcome.out
    printed = overrides_printed(outcome)
    assert [text for text in printed if text.startswith("data.")] == [
        "data.batch_size=4",
        "data.val_batch_size=4",
        "data.num_workers=0",
        f"data.root={out}",
    ]
    run_tool("train", CONFIG, *printed, "training.max_steps=1").require_success()
    assert tree(shapes_set) == before


def test_bytes_before_and_after_are_told(shapes_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = prepare(shapes_set, out, "--longer-side", 16, "--workers", 1).require_success()
    sizes = [
        sum(path.stat().st_size for path in root.glob("*2017/*.*")) / 1e6
        for root in (shapes_set, out)
    ]
    assert f"pictures: {sizes[0]:.1f} MB before, {sizes[1]:.1f} MB now; " in outcome.out


def test_masks_of_another_layout_need_more_changes(shapes_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    overrides = segmentation_overrides(shapes_set, tmp_path / "runs")
    outcome = run_tool(
        "prepare_cache", SEGMENTATION_CONFIG, *overrides, "--out", out, "--full-size"
    ).require_success()
    assert f"{PICTURES} were small enough: compressed anew where that saves bytes" in outcome.out
    data = load_config(SEGMENTATION_CONFIG, overrides_printed(outcome)).data
    assert (data.root, data.train_images, data.format) == (str(out), "JPEGImages", "voc")
    assert data.classes == load_config(SEGMENTATION_CONFIG, overrides).data.classes
    # What a plain VOC config says is not said again.
    assert not any("train_images" in text for text in overrides_printed(outcome))


def test_another_format_is_told_with_its_places(tmp_path: Path) -> None:
    three_formats.write_voc(tmp_path / "data")
    overrides = ["data.format=voc", "data.train_list=null", "data.val_share=0.34"]
    outcome = run_tool(
        "prepare_cache", CONFIG, f"data.root={tmp_path / 'data'}", *overrides,
        "data.num_classes=null", "--out", tmp_path / "out",
    ).require_success()  # fmt: skip
    assert overrides_printed(outcome) == [
        "data.num_classes=null",
        f"data.root={tmp_path / 'out'}",
    ]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_copy_as_it_is_gives_the_scores_of_the_originals(
    shapes_set: Path,
    tmp_path: Path,
    trained_run: Path,
    segmentation_run: Path,
    task: str,
) -> None:
    detects = task == "detection"
    overrides = (tiny_overrides if detects else segmentation_overrides)(shapes_set, tmp_path)
    out = tmp_path / "cache"
    outcome = run_tool(
        "prepare_cache", CONFIG if detects else SEGMENTATION_CONFIG, *overrides, "--out", out,
        "--full-size", "--quality", 100,
    ).require_success()  # fmt: skip
    assert "were small enough: copied byte for byte" in outcome.out
    changes = [text for text in overrides_printed(outcome) if text.startswith("data.")]
    checkpoint = (trained_run if detects else segmentation_run) / "checkpoints" / "last.ckpt"
    scores = []
    for name, texts in (("originals", [f"data.root={shapes_set}"]), ("cache", changes)):
        place = tmp_path / name / "scores"
        # The run's config names the places of the built-in set.
        given = texts if detects or name == "originals" else [*_voc_places(), *texts]
        run_tool("evaluate", checkpoint, *given, "--out", place).require_success()
        scores.append(read_json(place / "metrics.json"))
    assert scores[0] == scores[1]
    assert any(isinstance(value, float) and 0 < value < 1 for value in scores[0].values())


def _voc_places() -> list[str]:
    data = load_config(SEGMENTATION_CONFIG).data
    keys = ("train_images", "train_masks", "train_list", "val_images", "val_masks", "val_list")
    return [f"data.{key}={getattr(data, key)}" for key in keys]


def test_sigterm_leaves_what_the_next_call_goes_on_with(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = preparing.prepare_picture
    done: list[Entry] = []

    def stop_at_third(*arguments: object) -> Entry:
        done.append(whole(*arguments))  # pyrefly: ignore[bad-argument-type]
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return done[-1]

    out = tmp_path / "out"
    monkeypatch.setattr(preparing, "prepare_picture", stop_at_third)
    assert prepare(shapes_set, out, "--longer-side", 32, "--workers", 1).code == 143
    monkeypatch.undo()
    outcome = prepare(shapes_set, out, "--longer-side", 32, "--workers", 1).require_success()
    assert len(done) < PICTURES
    assert f"{len(done)} of them from an earlier call" in outcome.out
    prepare(shapes_set, tmp_path / "other", "--longer-side", 32).require_success()
    assert tree(out) == tree(tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quality", "101"], "'101' is no number of 1 to 100"),
        (["--longer-side", "0"], "'0' is no number of 1 to"),
        (["--longer-side", "9", "--full-size"], "not allowed with"),
        (["data.rot=3"], "data.rot"),
        (["data.root=nowhere", "data.generate=null"], "not found"),
    ],
)
def test_mistakes_end_in_code_2(
    shapes_set: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    outcome = prepare(shapes_set, tmp_path / "out", *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_the_data_and_other_folders_are_not_written_to(shapes_set: Path, tmp_path: Path) -> None:
    before = tree(shapes_set)
    assert "lies in the data" in prepare(shapes_set, shapes_set / "cache").err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    outcome = prepare(shapes_set, tmp_path / "mine")
    assert (outcome.code, "holds no cache" in outcome.err) == (2, True)
    assert list(tree(tmp_path / "mine")) == ["notes.txt"]
    assert tree(shapes_set) == before


def test_a_cache_is_not_converted(shapes_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(shapes_set, out).require_success()
    outcome = run_tool(
        "convert_data", CONFIG, f"data.root={out}", "--to", "yolo", "--out", tmp_path / "yolo"
    )
    assert (outcome.code, "convert the originals" in outcome.err) == (2, True)


def test_other_settings_of_a_checkpoint_cannot_misread_a_cache(
    shapes_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prepare(shapes_set, out).require_success()
    manifest = json.loads((out / "cache.json").read_text())
    assert manifest["data"]["format"] == "coco"
    assert config_of(out).data.val_annotations == manifest["data"]["val_annotations"]
    outcome = train(out, tmp_path / "runs", "data.orientation=upright")
    assert (outcome.code, "data.orientation=stored; give these, too" in outcome.err) == (2, True)
