import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnv2_dense.coco_evaluation import evaluate
from tests.coco_evaluation.test_evaluation import HIT, TRUTH
from tests.commands.tiny import run_tool


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(TRUTH))
    results.write_text(json.dumps([HIT]))
    return truth, results


@pytest.mark.parametrize("backend", ["mnv2_dense", "pycocotools"])
def test_tables_and_numbers(paths: tuple[Path, Path], tmp_path: Path, backend: str) -> None:
    out = tmp_path / "scores.json"
    outcome = run_tool("evaluate_coco", *paths, "--backend", backend, "--out", out)
    lines = outcome.require_success().out.splitlines()
    assert lines[1] == "cat    0.505  0.505  0.505      -  0.505      -  0.500"
    assert lines[4].endswith("maxDets=100 ] = 0.505")
    assert lines[-1] == f"wrote {out}"
    assert json.loads(out.read_text()) == evaluate(TRUTH, [HIT]).as_dict()


def test_mistakes_end_in_one_line(paths: tuple[Path, Path], tmp_path: Path) -> None:
    truth, results = paths
    for arguments, message in [
        ((truth, truth), "is no JSON list of COCO results"),
        ((results, results), "is no COCO instances file"),
        ((truth, tmp_path / "none.json"), "cannot read the results file"),
        ((truth, results, "--out", tmp_path), "give the name of a JSON file"),
        ((truth, results, "--out", tmp_path / "no" / "s.json"), "a folder that exists"),
    ]:
        outcome = run_tool("evaluate_coco", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
        assert outcome.err.startswith("error: ")
        assert len(outcome.err.splitlines()) == 1


def test_torch_is_not_needed(paths: tuple[Path, Path]) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mnv2_dense.commands.evaluate_coco import evaluate_coco\n"
        "evaluate_coco(*map(Path, sys.argv[1:]), out=None, backend='mnv2_dense')\n"
        "assert not {'torch', 'pydantic', 'pycocotools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True)
