from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tools.compare import comparison, detection, segmentation
from tools.compare.runs import Outcome, Run

BUDGET = ("--steps", "3", "--batch", "4", "--size", "64")


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that a command makes, none of which trains anything."""
    runs: list[Run] = []

    def perform(_side: Any, run: Run, _places: Any, _weights: Any, _out: Path) -> Outcome:
        runs.append(run)
        if len(runs) == 2:
            raise KeyboardInterrupt
        return Outcome({"mIoU": 0.5, "pixel_accuracy": 0.5}, 1, 2, 3.0)

    def describe(_recipe: Path, _places: Any, weights: Path | None) -> dict[str, str | None]:
        return {"weights": None if weights is None else weights.name, "torch": "2.12.1"}

    monkeypatch.setattr(comparison, "perform", perform)
    monkeypatch.setattr(comparison, "describe_sources", describe)
    return runs


def call(out: Path, *arguments: str, command: Any = segmentation) -> int:
    return command.main([*arguments, *BUDGET, "--out", str(out)])


def names(runs: Sequence[Run]) -> list[tuple[str, str, int]]:
    return [(run.network, run.recipe, run.seed) for run in runs]


def test_an_interrupted_comparison_goes_on_where_it_was(
    tmp_path: Path, performed: list[Run]
) -> None:
    arguments = (f"--data=voc={tmp_path}", "--networks", "light", "aspp", "--seeds", "0", "1")
    assert call(tmp_path, *arguments) == 130
    assert names(performed) == [("light", "product", 0), ("aspp", "product", 0)]
    assert call(tmp_path, *arguments) == 0
    assert names(performed[2:]) == [
        ("aspp", "product", 0),
        ("light", "product", 1),
        ("aspp", "product", 1),
    ]
    assert call(tmp_path, *arguments) == 0
    assert len(performed) == 5
    assert "| light | product | 0, 1 | 0.5000 |" in (tmp_path / "results.md").read_text()


def test_a_folder_of_other_weights_is_refused(
    tmp_path: Path,
    performed: list[Run],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(path: Path) -> Path:
        return path

    monkeypatch.setattr(comparison, "read_weights", read)
    arguments = (f"--data=voc={tmp_path}", "--networks", "light", "--seeds", "0", "--weights")
    assert call(tmp_path, *arguments, "a.ckpt") == 0
    assert call(tmp_path, *arguments, "a.ckpt") == 0
    assert call(tmp_path, *arguments, "b.ckpt") == 2
    assert len(performed) == 1
    assert "made with weights a.ckpt, not b.ckpt" in capsys.readouterr().err


def test_the_recipe_is_the_peers_alone(tmp_path: Path, performed: list[Run]) -> None:
    peer = "smp_deeplabv3_mobilenet_v2"
    call(tmp_path, f"--data=voc={tmp_path}", "--networks", peer, "--seeds", "0")
    assert names(performed) == [(peer, "reference", 0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data=voc", "--networks=light"), "--data voc: it is voc=FOLDER or shapes"),
        (("--data=coco=x", "--networks=light"), "it is voc=FOLDER or shapes"),
        (("--data=voc=missing", "--networks=light"), "--data voc=missing: no such folder"),
        (
            ("--data=shapes", "--networks=unet"),
            "--networks unet: there are light, aspp, aspp_last, smp_",
        ),
        (
            (
                *("--data=shapes", "--weights=w.ckpt"),
                "--networks=torchvision_deeplabv3_mobilenet_v3_large",
            ),
            "do not fit torchvision_deeplabv3_mobilenet_v3_large; compare it without",
        ),
    ],
)
def test_mistakes_end_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert call(tmp_path / "out", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [("--size", "100"), ("--steps", "0"), ("--seeds", "-1")])
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        call(tmp_path, "--data=shapes", "--networks", "ssdlite", *wrong, command=detection)
    assert stopped.value.code == 2
    assert wrong[0] in capsys.readouterr().err
