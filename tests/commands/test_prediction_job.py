import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mnv2_dense.cli import run_command
from mnv2_dense.commands.outputs import JOB_FOLDER, SETTINGS
from mnv2_dense.commands.prediction_end import FAILED, SHOWN
from mnv2_dense.commands.prediction_job import LINES, Share, check_settings, describe_weights
from mnv2_dense.errors import UserError
from tests.commands.shade_jobs import (
    count_lines,
    draw,
    draw_many,
    outputs_of,
    results,
    run_shades,
)
from tests.commands.shades import RECORDS
from tests.commands.tiny import read_json, run_tool

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def start(work: Callable[[], None]) -> int:
    """Begins a command in a process of its own, and returns its number."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            code = run_command(work)
        except SystemExit as stop:
            code = int(str(stop.code))
        finally:
            os._exit(code)
    return process


def end(process: int) -> int:
    """The exit code of a process; of a killed one, the signal's number below zero."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """What one undisturbed process writes of 40 pictures in `in`."""
    draw_many(tmp_path / "in", 40)
    run_shades(tmp_path / "whole", tmp_path / "in")
    return tmp_path / "whole"


# The whole tool


@pytest.mark.parametrize(
    "task", [pytest.param("trained_run", marks=pytest.mark.long), "segmentation_run"]
)
def test_shares_make_the_whole(
    task: str, request: pytest.FixtureRequest, shapes_set: Path, tmp_path: Path
) -> None:
    weights = request.getfixturevalue(task) / "checkpoints" / "last.ckpt"
    arguments = (shapes_set / "val2017", "--weights", weights)
    if task == "trained_run":
        arguments = (*arguments, "--score-threshold", 0.01)
    run_tool("predict", *arguments, "--out", tmp_path / "one").require_success()
    outcomes = [
        run_tool("predict", *arguments, "--out", tmp_path / "three", "--shard", shard)
        for shard in ("2/3", "3/3", "1/3")
    ]
    said = [outcome.require_success().out for outcome in outcomes]
    assert "4 pictures of other shares are not" in said[0]
    assert "2 pictures of other shares are not" in said[1]
    assert "6 pictures" in said[2]
    assert results(tmp_path / "one") == results(tmp_path / "three")
    assert len(next(tmp_path.glob("one/*.json")).read_bytes()) > 1000
    # Two processes find nothing left to do, and then everything.
    again = run_tool("predict", *arguments, "--out", tmp_path / "three", "--processes", 2)
    assert again.require_success().out.startswith("6 of 6 pictures are done already\nwrote ")
    assert results(tmp_path / "one") == results(tmp_path / "three")
    if task == "trained_run":
        two = run_tool("predict", *arguments, "--out", tmp_path / "two", "--processes", 2)
        assert two.require_success().out.count(" boxes -> ") == 6
        assert results(tmp_path / "one") == results(tmp_path / "two")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_share(shard: str, tmp_path: Path) -> None:
    outcome = run_tool("predict", tmp_path, "--weights", "a", f"--shard={shard}")
    assert outcome.code == 2
    assert "a share is given as 1/4 to 4/4" in outcome.err
    assert run_tool("predict", tmp_path, "--weights", "a", "--processes", 0).code == 2


def test_another_threshold_or_network_is_refused(
    trained_run: Path, shapes_set: Path, tmp_path: Path
) -> None:
    best, last = (trained_run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    options = ("--out", tmp_path / "out", "--engine", "torch")
    arguments = (shapes_set / "val2017", *options, "--weights")
    run_tool("predict", *arguments, best, "training.threads=1").require_success()
    before = results(tmp_path / "out")
    run_tool("predict", *arguments, best, "--score-threshold", 0.3).require_success()
    for changed, words in [
        ([best, "--score-threshold", 0.4], "score_threshold=0.3, and now it is 0.4"),
        ([best, "decode.max_detections=3"], "changes=[], and now it is ['decode.max"),
        ([last], "weights=sha256:"),
    ]:
        outcome = run_tool("predict", *arguments, *changed)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert words in outcome.err
        assert "give another --out" in outcome.err
    assert results(tmp_path / "out") == before


def test_a_job_of_before_there_was_a_choice_goes_on(tmp_path: Path) -> None:
    outputs = outputs_of(tmp_path)
    outputs.job.mkdir(parents=True)
    (outputs.job / SETTINGS).write_text('{"top": 5}')
    check_settings(outputs, {"top": 5, "drawings": True})
    check_settings(outputs, {"top": 5})
    with pytest.raises(UserError, match="were made with drawings=True, and now it is False"):
        check_settings(outputs, {"top": 5, "drawings": False})


# Going on


def test_a_killed_job_goes_on(whole: Path, tmp_path: Path) -> None:
    """At most the picture in work is lost with each kill."""
    chance, out = random.Random(0), tmp_path / "out"
    for _ in range(6):
        before = count_lines(out)
        process = start(lambda: run_shades(out, tmp_path / "in", seconds=0.1))
        watched = psutil.Process(process)
        while count_lines(out) == before and watched.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.2))
        os.kill(process, signal.SIGKILL)
        assert end(process) == -signal.SIGKILL
        assert not (out / RECORDS).exists()
    assert 6 <= count_lines(out) < 40
    run_shades(out, tmp_path / "in")
    assert results(out) == results(whole)
    assert count_lines(out) == 40  # none twice


def test_a_line_cut_off_is_done_again(whole: Path, tmp_path: Path) -> None:
    """And what was noted after it by another process counts."""
    expected = results(whole)
    (part,) = (whole / JOB_FOLDER).glob("part-*.jsonl")
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:30]) + lines[30][:-1])
    for _ in range(2):
        run_shades(whole, tmp_path / "in")
        assert results(whole) == expected
        assert count_lines(whole) == 40


def test_what_changed_is_done_again(whole: Path, tmp_path: Path) -> None:
    """A picture, or what was drawn of it."""
    expected = results(whole)
    draw(tmp_path / "in" / "0" / "ü000.png", 200)
    drawn = sorted((whole / "filled").iterdir())
    drawn[5].unlink()
    drawn[6].write_bytes(b"")
    run_shades(whole, tmp_path / "in")
    assert count_lines(whole) == 43
    found = results(whole)
    assert {name for name in found if found[name] != expected[name]} == {
        "filled/ü000.png",
        RECORDS,
    }


def test_new_pictures_are_done_and_vanished_ones_leave(whole: Path, tmp_path: Path) -> None:
    """Ids and names that were given stay."""
    before = {each["file_name"]: each["image_id"] for each in read_json(whole / RECORDS)}
    gone = tmp_path / "in" / "0" / "ü001.png"
    kept = gone.read_bytes()
    gone.unlink()
    new = draw(tmp_path / "in" / "0" / "a.png", 50)
    same = draw(tmp_path / "in" / "00" / "ü001.png", 50)
    run_shades(whole, tmp_path / "in")
    assert count_lines(whole) == 42
    records = read_json(whole / RECORDS)
    names = list(dict.fromkeys(each["file_name"] for each in records))
    ids = {each["file_name"]: each["image_id"] for each in records}
    assert names == sorted(names)
    assert (ids.pop(str(new)), ids.pop(str(same))) == (41, 42)
    assert before.pop(str(gone)) == 2
    assert ids == before
    gone.write_bytes(kept)
    run_shades(whole, tmp_path / "in")
    assert len({each["file_name"] for each in read_json(whole / RECORDS)}) == len(before) + 3


def test_what_failed_is_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = tmp_path / "out" / JOB_FOLDER / FAILED
    pictures = draw_many(tmp_path / "in", 2 * SHOWN)
    good = pictures[0].read_bytes()
    for picture in pictures[: SHOWN + 2]:
        picture.write_bytes(good[:40])
    for _ in range(2):
        with pytest.raises(UserError, match="12 of 20 pictures failed: ") as caught:
            run_shades(tmp_path / "out", tmp_path / "in")
        assert str(caught.value).count(".png: ") == SHOWN
        assert str(caught.value).endswith(f"; and 2 more, all in {failed}")
    assert "8 of 20 pictures are done already" in capsys.readouterr().out
    lines = failed.read_text().splitlines()
    named = {json.loads(line)["file_name"] for line in lines}
    assert named == {str(picture) for picture in pictures[: SHOWN + 2]}
    draw_many(tmp_path / "in", 2 * SHOWN)
    run_shades(tmp_path / "out", tmp_path / "in")
    assert not failed.exists()
    run_shades(tmp_path / "whole", tmp_path / "in")
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_a_share_with_a_failure_lets_the_others_finish(tmp_path: Path) -> None:
    pictures = draw_many(tmp_path / "in", 6)
    pictures[0].write_bytes(b"broken")
    with pytest.raises(UserError, match="1 of 3 pictures failed"):
        run_shades(tmp_path / "out", tmp_path / "in", share=Share(1, 2))
    assert not (tmp_path / "out" / RECORDS).exists()
    with pytest.raises(UserError, match="1 of 6 pictures failed"):
        run_shades(tmp_path / "out", tmp_path / "in", share=Share(2, 2))
    names = {each["file_name"] for each in read_json(tmp_path / "out" / RECORDS)}
    assert names
    assert str(pictures[0]) not in names


@pytest.mark.parametrize("content", ["", "[", "7", '"a"'])
def test_a_damaged_job_is_refused(whole: Path, tmp_path: Path, content: str) -> None:
    before = results(whole)
    with pytest.raises(UserError, match="weights=gray, and now it is black"):
        run_shades(whole, tmp_path / "in", weights="black")
    for name in ("job.json", "pictures-1.jsonl"):
        path = whole / JOB_FOLDER / name
        good = path.read_text()
        path.write_text(content or "{")
        with pytest.raises(UserError, match=rf"{name}: damaged.*give another --out"):
            run_shades(whole, tmp_path / "in")
        path.write_text(good)
    assert results(whole) == before


def test_many_pictures_are_counted_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_many(tmp_path / "in", LINES + 1)
    run_shades(tmp_path / "out", tmp_path / "in")
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert f"{LINES + 1}/{LINES + 1}" in err
    assert " pictures/s" in err


def test_names_of_no_encoding_are_said(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"\xff\xfe.png")
    try:
        draw(tmp_path / "a.png").rename(source)
    except OSError:
        pytest.skip("this disk has no such names")
    run_shades(tmp_path / "out", source)
    (listed,) = outputs_of(tmp_path / "out").list.pictures
    assert listed.path == str(source)


# Ends


@pytest.mark.parametrize(
    ("number", "code", "processes"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)]
)
def test_a_signal_ends_all_processes(
    number: int, code: int, processes: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw_many(tmp_path / "in", 40)
    out = tmp_path / "out"
    process = start(lambda: run_shades(out, tmp_path / "in", processes=processes, seconds=1.0))
    while count_lines(out) == 0:
        time.sleep(0.01)
    workers = psutil.Process(process).children(recursive=True)
    assert len(workers) >= processes - 1
    os.kill(process, number)
    assert end(process) == code
    assert not psutil.wait_procs(workers, timeout=60)[1]
    assert "the same command goes on" in capfd.readouterr().err
    assert count_lines(out) < 40
    run_shades(out, tmp_path / "in")
    assert count_lines(out) == 40


def test_weights_are_known_by_all_their_files(tmp_path: Path) -> None:
    graph = tmp_path / "a.xml"
    graph.write_text("the same of two networks")
    graph.with_suffix(".bin").write_bytes(b"weights")
    before = describe_weights(str(graph))
    graph.with_suffix(".bin").write_bytes(b"others")
    assert describe_weights(str(graph)) != before
