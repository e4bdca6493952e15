import json
from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from tools.compare.runs import (
    Outcome,
    Run,
    is_finished,
    read_results,
    result_path,
    training_folder,
    write_result,
)

RUN = Run("segmentation", "voc", "random", "light", "product", 0, 300, 8, 256)
OUTCOME = Outcome({"mIoU": 0.25}, 3, 4, 0.5)
SOURCES = {"weights": "a" * 64, "torch": "2.12.1"}


def test_a_run_is_finished_once_its_result_is_written(tmp_path: Path) -> None:
    assert not is_finished(RUN, SOURCES, tmp_path)
    write_result(RUN, SOURCES, OUTCOME, tmp_path, threads=2)
    assert is_finished(RUN, SOURCES, tmp_path)
    (result,) = read_results(tmp_path)
    assert result == {**RUN._asdict(), **OUTCOME._asdict(), "sources": SOURCES, "threads": 2}


@pytest.mark.parametrize(
    "other",
    [
        RUN._replace(task="detection"),
        RUN._replace(data="shapes"),
        RUN._replace(start="imagenet"),
        RUN._replace(network="aspp"),
        RUN._replace(recipe="reference"),
        RUN._replace(seed=1),
    ],
    ids=lambda other: other.name,
)
def test_other_runs_are_not_taken_for_it(tmp_path: Path, other: Run) -> None:
    write_result(RUN, SOURCES, OUTCOME, tmp_path)
    assert not is_finished(other, SOURCES, tmp_path)


@pytest.mark.parametrize("key", ["steps", "batch", "size"])
def test_a_result_of_another_budget_is_refused(tmp_path: Path, key: str) -> None:
    write_result(RUN, SOURCES, OUTCOME, tmp_path)
    value = getattr(RUN, key)
    with pytest.raises(UserError, match=rf"a run of {key} {value}, not {value + 1}"):
        is_finished(RUN._replace(**{key: value + 1}), SOURCES, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": 0}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = result_path(RUN, tmp_path)
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match="not a result of tools/compare"):
        is_finished(RUN, SOURCES, tmp_path)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"weights": "b" * 64}, "made with weights aaaaaaaaaaaa, not bbbbbbbbbbbb; give what"),
        ({"weights": None}, "made with weights aaaaaaaaaaaa, not none"),
        ({"weights": None, "torch": "2.13.0"}, "not none; torch 2.12.1, not 2.13.0"),
    ],
)
def test_a_result_of_other_sources_is_refused(
    tmp_path: Path, changed: dict[str, str | None], told: str
) -> None:
    write_result(RUN, SOURCES, OUTCOME, tmp_path)
    with pytest.raises(UserError, match=told):
        is_finished(RUN, {**SOURCES, **changed}, tmp_path)


def test_a_result_of_unknown_sources_is_made_again_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = result_path(RUN, tmp_path)
    path.parent.mkdir()
    path.write_text(before := json.dumps({**RUN._asdict(), **OUTCOME._asdict()}))
    assert not is_finished(RUN, SOURCES, tmp_path)
    assert read_results(tmp_path) == []
    assert "1 results do not say what they were made from; left out" in capsys.readouterr().err
    write_result(RUN, SOURCES, OUTCOME, tmp_path)
    assert is_finished(RUN, SOURCES, tmp_path)
    assert path.with_name(f"{path.name}.old").read_text() == before
    assert len(read_results(tmp_path)) == 1


def test_checkpoints_are_of_one_budget_and_the_same_sources(tmp_path: Path) -> None:
    folders = {
        training_folder(RUN, SOURCES, tmp_path),
        training_folder(RUN, {**SOURCES, "weights": None}, tmp_path),
        training_folder(RUN._replace(steps=9), SOURCES, tmp_path),
    }
    assert len(folders) == 3
    assert training_folder(RUN, dict(reversed(SOURCES.items())), tmp_path) in folders
