import sys
from pathlib import Path

import pytest

from mnv2_dense.benchmarking.startup import PYTHON, Process, measure_answers
from mnv2_dense.errors import UserError


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the place of ours, for what `python -m mnv2_dense` runs."""
    package = tmp_path / "mnv2_dense"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return package / "__main__.py"


def test_every_command_is_a_process_of_its_own(program: Path) -> None:
    program.write_text(
        "import sys\n"
        "assert sys.argv[1] == 'train'\n"
        "sys.exit(2 if 'optimizer.learning_rat=1' in sys.argv else 0)\n"
    )
    (section,) = measure_answers(Path("some.yaml"), 1)
    assert [each.target for each in section.ratios] == [0.3, 0.3, 0.3, 0.3, 0.1]
    assert section.ratios[-1].value == section.timings["import mnv2_dense"].median
    assert section.timings[PYTHON].median > 0


def test_another_exit_code_is_told_with_the_last_line(program: Path) -> None:
    program.write_text("raise ValueError('no network')")
    with pytest.raises(UserError, match=r"--help ended with code 1, not 0: ValueError: no network"):
        list(measure_answers(Path("some.yaml"), 1))
    with pytest.raises(UserError, match="no message"):
        Process([sys.executable, "-c", "raise SystemExit(3)"], 0)()
