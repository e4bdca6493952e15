from pathlib import Path

import pytest

from mnv2_dense.reporting.log import Series, read_log


def log_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "metrics.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_series_has_the_rows_that_have_it(tmp_path: Path) -> None:
    text = "epoch,step,train/loss,val/mAP\n,0,2.5,\n0,1,,\n0,1,1.5,\n0,1,,0.25\n"
    log = read_log(log_of(tmp_path, text))
    assert log.series == {"train/loss": Series([0, 1], [2.5, 1.5]), "val/mAP": Series([1], [0.25])}
    assert (log.problems, log.last_step) == ([], 1)


def test_steps_that_were_done_again_count_once(tmp_path: Path) -> None:
    log = read_log(log_of(tmp_path, "step,train/loss\n0,5\n1,4\n2,3\n1,7\n"))
    assert log.series["train/loss"] == Series([0, 1, 2], [5.0, 7.0, 3.0])


def test_steps_that_cannot_be_are_damage(tmp_path: Path) -> None:
    log = read_log(log_of(tmp_path, f"step,train/loss\n-3,5\n1,4\n{10**19},3\n"))
    assert log.series["train/loss"] == Series([1], [4.0])
    assert log.problems == ["2 rows of metrics.csv are damaged and left out"]


def test_damaged_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    text = b"step,train/loss,lr\n0,2,1\n1\n2,x,1\n\xff\xfe,1,1\n3,nan,1\n4,inf,1\n5,1,1\n6,0.5"
    log = read_log(log_of(tmp_path, text))
    assert log.series["train/loss"] == Series([0, 5], [2.0, 1.0])
    assert log.series["lr"].steps == [0, 3, 4, 5]
    assert log.problems == [
        "4 rows of metrics.csv are damaged and left out",
        "2 values of metrics.csv are not finite and left out",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "metrics.csv has no column of steps"),
        ("\0\0\0\n1,2\n", "metrics.csv has no column of steps"),
        (f'step,a\n1,"{"x" * 200_000}"\n', "metrics.csv is damaged (field larger than"),
        (None, "metrics.csv cannot be read (No such file or directory)"),
    ],
)
def test_a_log_that_is_none(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "metrics.csv" if text is None else log_of(tmp_path, text)
    log = read_log(path)
    assert (log.series, log.last_step) == ({}, None)
    (problem,) = log.problems
    assert problem.startswith(told)
    assert problem.endswith("there are no curves")


def test_a_log_of_no_rows(tmp_path: Path) -> None:
    log = read_log(log_of(tmp_path, "step,train/loss\n"))
    assert (log.series, log.problems, log.last_step) == ({}, [], None)
