from pathlib import Path

import pytest

from mnv2_dense.errors import UserError
from tools.compare.runs import (
    Outcome,
    Run,
    is_finished,
    read_results,
    result_path,
    write_result,
)

RUN = Run("segmentation", "voc", "random", "light", "product", 0, 300, 8, 256)
OUTCOME = Outcome({"mIoU": 0.25}, 3, 4, 0.5)


def test_a_run_is_finished_once_its_result_is_written(tmp_path: Path) -> None:
    assert not is_finished(RUN, tmp_path)
    write_result(RUN, OUTCOME, tmp_path, threads=2)
    assert is_finished(RUN, tmp_path)
    assert read_results(tmp_path) == [{**RUN._asdict(), **OUTCOME._asdict(), "threads": 2}]


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
    write_result(RUN, OUTCOME, tmp_path)
    assert not is_finished(other, tmp_path)


@pytest.mark.parametrize("key", ["steps", "batch", "size"])
def test_a_result_of_another_budget_is_refused(tmp_path: Path, key: str) -> None:
    write_result(RUN, OUTCOME, tmp_path)
    value = getattr(RUN, key)
    with pytest.raises(UserError, match=rf"a run of {key} {value}, not {value + 1}"):
        is_finished(RUN._replace(**{key: value + 1}), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"seed": 0}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = result_path(RUN, tmp_path)
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match="not a result of tools/compare"):
        is_finished(RUN, tmp_path)
