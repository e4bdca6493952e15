"""`make docs`: the API reference, from the docstrings."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.tiny import ROOT


def read_recipe() -> list[str]:
    """The words of the command that `make docs` runs, after what installs it."""
    command = ["make", "--dry-run", "docs", "PYTHON=python", "BASE_PYTHON=python"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = (each for each in done.stdout.replace("\\\n", " ").splitlines() if "pdoc" in each)
    return shlex.split(line)


@pytest.mark.long
def test_the_reference_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="comes with the extra `docs`")
    program, *words = read_recipe()
    assert program == "python"
    words[words.index("docs/api")] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("mnv2_dense", "mnv2_dense/coco_evaluation", "mnv2_dense/prediction/predictor"):
        assert (tmp_path / f"{name}.html").is_file()
    assert not (tmp_path / "mnv2_dense/commands.html").exists()
    page = (tmp_path / "mnv2_dense/coco_evaluation.html").read_text()
    assert 'id="evaluate"' in page
    assert re.search(r"<h6[^>]*>Arguments:</h6>", page), "Google's sections are read as such"


def test_what_is_public_exists() -> None:
    """A package that is renamed would vanish from the reference without a word."""
    (pattern,) = (word for word in read_recipe() if word.startswith("!"))
    public = re.findall(r"\w+", pattern.partition("(?!(")[2].partition(")")[0])
    package = ROOT / "mnv2_dense"
    assert public == sorted(public)
    for name in public:
        assert (package / name).is_dir() or (package / f"{name}.py").is_file(), name
