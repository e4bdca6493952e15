from pathlib import Path

import pytest

from mnv2_dense.training.progress import RunProgress, format_duration
from tests.training.tiny import TinyModule, tiny_data, tiny_trainer


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (187, "3:07"), (7387, "2:03:07"), (90_061, "1d 1:01:01")],
)
def test_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_day_without_hours_keeps_the_hour() -> None:
    assert format_duration(86_400 + 61) == "1d 0:01:01"


def shown(folder: Path, capsys: pytest.CaptureFixture[str], progress: RunProgress) -> str:
    tiny_trainer(folder, [progress], max_epochs=3).fit(TinyModule(), datamodule=tiny_data())
    return capsys.readouterr().out


def test_log_file_gets_few_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(tmp_path, capsys, RunProgress(line_seconds=60, terminal=False)).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("epoch 3/3 step 12/12 train/loss ")
    assert lines[0].split()[-4:-2] == ["lr", "0.000769"]
    assert lines[0].endswith("eta 0:00")


def test_lines_come_as_often_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(tmp_path, capsys, RunProgress(line_seconds=0, terminal=False)).splitlines()
    assert [line.split(" train/loss")[0] for line in lines[:5:4]] == [
        "epoch 1/3 step 1/12",
        "epoch 2/3 step 5/12",
    ]
    assert "\r" not in "".join(lines)


def test_bar_shows_losses_rate_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(tmp_path, capsys, RunProgress(terminal=True))
    for part in ("epoch 3/3", "train/loss=", "lr=0.000769", "eta=0:00"):
        assert part in text
