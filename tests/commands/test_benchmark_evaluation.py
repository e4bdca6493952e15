from collections.abc import Iterator
from pathlib import Path

import pytest

from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands import benchmark_evaluation
from tests.commands.tiny import read_json, run_tool


@pytest.mark.parametrize(
    ("task", "titles"),
    [
        (["--task", "detection"], ["boxes 2 3"]),
        (["--task", "detection", "--slow-repetitions", "30"], ["boxes 2 30"]),
        (["--task", "segmentation"], ["masks 2 None []"]),
        ([], ["masks 2 None []", "boxes 2 3"]),
        (
            ["--task", "segmentation", "--checkpoint", "a.ckpt", "data.root=here"],
            ["masks 2 a.ckpt ['data.root=here']"],
        ),
    ],
)
def test_each_task_has_its_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: list[str], titles: list[str]
) -> None:
    def measure_boxes(repetitions: int, *, slow_repetitions: int) -> Iterator[Section]:
        yield Section(f"boxes {repetitions} {slow_repetitions}")

    def measure_masks(repetitions: int, *rest: object) -> Iterator[Section]:
        yield Section(f"masks {repetitions} {' '.join(map(str, rest))}")

    monkeypatch.setattr(benchmark_evaluation, "measure_boxes", measure_boxes)
    monkeypatch.setattr(benchmark_evaluation, "measure_masks", measure_masks)
    out = tmp_path / "figures.json"
    options = ["--repetitions", 2, "--threads", 1, "--out", out]
    run_tool("benchmark", "evaluation", *task, *options).require_success()
    assert [each["title"] for each in read_json(out)["sections"]] == titles


def test_a_checkpoint_that_is_not_there() -> None:
    options = ["--task", "segmentation", "--checkpoint", "none.ckpt"]
    outcome = run_tool("benchmark", "evaluation", *options)
    assert outcome.code == 2
    assert "none.ckpt" in outcome.err


def test_no_repetitions_of_slow_peers() -> None:
    outcome = run_tool("benchmark", "evaluation", "--slow-repetitions", 0)
    assert outcome.code == 2
    assert "--slow-repetitions is at least 1, not 0" in outcome.err
