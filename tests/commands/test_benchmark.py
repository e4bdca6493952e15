from collections.abc import Iterator
from pathlib import Path

import pytest

from mnv2_dense.benchmarking.ratios import Ratio
from mnv2_dense.benchmarking.report import Section
from mnv2_dense.commands.benchmark import check_out, say_machine, tell
from mnv2_dense.errors import UserError
from tests.commands.tiny import read_json


def test_sections_are_shown_and_written_as_they_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "figures.json"
    shown = []

    def measure() -> Iterator[Section]:
        yield Section("First", ratios=[Ratio("one / other", 2.0, 1.9)])
        shown.append(capsys.readouterr().out)
        assert [each["title"] for each in read_json(out)["sections"]] == ["First"]
        yield Section("Second", notes=["no ratio"])

    tell(measure(), {"threads": 3}, out, repetitions=9)
    assert "First" in shown[0]
    assert not shown[0].count("Second")
    assert "medians of 9: too few for the ratios to mean much" in shown[0]
    assert f"wrote {out}" in capsys.readouterr().out
    content = read_json(out)
    assert content["threads"] == 3
    assert [each["title"] for each in content["sections"]] == ["First", "Second"]
    assert content["sections"][1]["notes"] == ["no ratio"]


def test_enough_repetitions_need_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    tell([Section("First", ratios=[Ratio("one / other", 2.0, 1.9)])], {}, None, repetitions=10)
    assert "too few" not in capsys.readouterr().out


def test_figures_go_into_a_file(tmp_path: Path) -> None:
    check_out(None)
    check_out(tmp_path / "new" / "figures.json")
    with pytest.raises(UserError, match="is a folder; give the name of a JSON file"):
        check_out(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no folder that can be written to"):
        check_out(tmp_path / "file" / "figures.json")


def test_the_machine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    machine = say_machine(2)
    assert f"{machine['cores']} cores; 2 threads each" in capsys.readouterr().out
