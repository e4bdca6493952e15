import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnv2_dense.error_analysis import analyze_errors
from tests.commands.tiny import run_tool
from tests.error_analysis.cases import DOG, found, thing, truth_of

TRUTH = truth_of(thing(), thing(DOG, image=2))
RESULTS = [found(0.9), found(0.8, image=2)]


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(TRUTH))
    results.write_text(json.dumps(RESULTS))
    return truth, results


def test_tables_and_numbers(paths: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "errors.json"
    out.write_text("of before")
    lines = run_tool("analyze_errors", *paths, "--out", out).require_success().out.splitlines()
    assert lines[0] == "AP50 0.500 on 2 images"
    assert lines[3] == "classification       0.500       1"
    assert lines[-1] == f"wrote {out}"
    assert json.loads(out.read_text()) == analyze_errors(TRUTH, RESULTS).as_dict()
    before = {path.name for path in tmp_path.iterdir()}
    assert run_tool("analyze_errors", *paths).require_success().out.splitlines() == lines[:-1]
    assert {path.name for path in tmp_path.iterdir()} == before


def test_mistakes_end_in_one_line(paths: tuple[Path, Path], tmp_path: Path) -> None:
    truth, results = paths
    other = tmp_path / "other.json"
    other.write_text(json.dumps([found(0.9, image=9)]))
    for arguments, message in [
        ((truth, truth), "is no JSON list of COCO results"),
        ((results, results), "is no COCO instances file"),
        ((truth, other), "image id 9"),
        ((tmp_path / "none.json", results), "cannot read the annotation file"),
        ((truth, results, "--out", tmp_path), "give the name of a JSON file"),
        ((truth, results, "--out", tmp_path / "no" / "e.json"), "a folder that exists"),
    ]:
        outcome = run_tool("analyze_errors", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
        assert outcome.err.startswith("error: ")
        assert len(outcome.err.splitlines()) == 1


def test_torch_is_not_needed(paths: tuple[Path, Path]) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mnv2_dense.commands.analyze_errors import analyze_errors\n"
        "analyze_errors(*map(Path, sys.argv[1:]), out=None)\n"
        "assert not {'torch', 'pydantic', 'pycocotools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True)
