import json
from pathlib import Path

import pytest

from mnv2_dense.commands.paper_tables import describe, number
from mnv2_dense.paper.agreement import Verdict
from mnv2_dense.paper.rows import Row
from tests.commands.tiny import load_tool, run_tool


def test_a_table_as_text() -> None:
    out = run_tool("paper_tables", "--table", "5").require_success().out
    assert out.startswith("Table 5: ")
    lines = [line.split() for line in out.splitlines()]
    assert ["SSD", "head", "params", "14.8M", "14,776,629", "agrees"] in lines
    (line,) = (line for line in out.splitlines() if "0.35B" in line and "DIFFERS" in line)
    assert "177,617,344" in line
    assert "twice" in line
    assert "17,000,501" in out.split("Not in the paper's table:")[1]
    assert "14,629,716" in out.split("rejected")[1]


def test_quoted_rows_say_so() -> None:
    out = run_tool("paper_tables", "--table", "6").require_success().out
    for model in ("SSD300", "SSD512", "YOLOv2"):
        (line,) = (line for line in out.splitlines() if line.startswith(model))
        assert "quoted from elsewhere, not built here" in line


def test_a_table_as_json() -> None:
    out = run_tool("paper_tables", "--table", "3", "--json").require_success().out
    content = json.loads(out)
    assert list(content) == ["table_3"]
    assert len(content["table_3"]["rows"]) == 28


def test_every_choice_of_the_tool_is_a_table() -> None:
    from mnv2_dense.paper.tables import TABLES

    assert tuple(TABLES) == load_tool("paper_tables").TABLES


def test_an_unknown_table_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        load_tool("paper_tables").main(["--table", "8"])
    assert stop.value.code == 2
    assert "invalid choice: '8'" in capsys.readouterr().err


@pytest.mark.long
def test_figure_1_prints_its_numbers_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = run_tool("paper_tables", "--table", "figure1").require_success().out
    assert "wrote figure1.png" in out
    assert "wrote figure1-2.png" in run_tool("paper_tables", "--table", "figure1").out
    assert (tmp_path / "figure1.png").read_bytes() == (tmp_path / "figure1-2.png").read_bytes()
    rows = json.loads(run_tool("paper_tables", "--table", "figure1", "--json").out)["figure1"]
    assert len(list(tmp_path.iterdir())) == 2
    found = {(row["form"], row["n"]): row for row in rows}
    assert f"{found['trained', 2]['error_mean']:.3f}" in out
    for form in ("random, best read-out", "trained"):
        collapsed = min(found[form, n]["error_min"] for n in (2, 3))
        kept = max(found[form, n]["error_max"] for n in (15, 30))
        assert kept < 0.1 < 0.3 < collapsed


def test_a_picture_that_exists_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    path.write_text("mine")
    outcome = run_tool("paper_tables", "--table", "figure1", "--picture", path)
    assert outcome.code == 2
    assert str(path) in outcome.err
    assert path.read_text() == "mine"


def test_a_picture_that_cannot_be_written_is_said_before_anything_is_computed(
    tmp_path: Path,
) -> None:
    outcome = run_tool("paper_tables", "--table", "figure1", "--picture", tmp_path / "no" / "x.png")
    assert outcome.code == 2
    assert "is no folder that can be written to" in outcome.err
    assert outcome.out == ""


def test_a_picture_needs_figure_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_tool("paper_tables").main(["--picture", "x.png"])
    assert "figure1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(True, "with norms", "rounded", 0.01), "agrees"),
        (Verdict(True, "without norms", "cut", 0.01), "agrees without norms (1,234), digits cut"),
        (Verdict(True, "multiply-adds", "near", -0.002), "agrees to -0.20 %"),
        (Verdict(False, "multiply-adds", "differs", 0.5), "DIFFERS by +50.00 %: why"),
        (None, "not a count"),
    ],
)
def test_verdicts_in_words(verdict: Verdict | None, words: str) -> None:
    row = Row("", "", "printed", {}, {"weights": 1234}, {}, "why")
    assert describe(verdict, row) == words


def test_numbers_are_whole_or_to_a_tenth() -> None:
    assert (number(1_234_567), number(401.408)) == ("1,234,567", "401.4")
