import subprocess
import sys
from pathlib import Path

import pytest

import mnv2_dense
from mnv2_dense.command_line.main import COMMANDS, main
from tests.commands.tiny import (
    COCO_CONFIG,
    CONFIG,
    ROOT,
    checkpoint,
    load_tool,
    only_run,
    tiny_overrides,
)

HEAVY = "{'torch', 'lightning', 'numpy', 'cv2', 'albumentations', 'pydantic'}"


def test_it_has_every_tool() -> None:
    tools = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert COMMANDS.keys() == tools | {"configs"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: mnv2-dense {name} ")
    assert f"`mnv2-dense {name}" in (load_tool(name).__doc__ or "")


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["-h"], 0), ([], 2)])
def test_the_help_lists_all_commands(
    words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    shown = capsys.readouterr().out
    assert shown.startswith("usage: mnv2-dense COMMAND ...\n\nDense prediction on ")
    for name, text in COMMANDS.items():
        assert f"  {name:15} {text}\n" in shown
    assert max(map(len, shown.splitlines())) < 100


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mnv2-dense {mnv2_dense.__version__}\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trian", "trian: no such command; did you mean train? "),
        ("check-data", "check-data: no such command; did you mean check_data? "),
        ("\x1b[2J", "\\x1b[2J: no such command; "),
    ],
)
def test_an_unknown_command_is_one_line(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 2
    expected = f"error: {told}`mnv2-dense --help` lists all of them\n"
    assert capsys.readouterr() == ("", expected)


def test_the_command_gets_the_rest_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(COCO_CONFIG), "name=other", "--print-config"]) == 0
    assert "\nname: other\n" in capsys.readouterr().out


def run_module(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = (
        f"import runpy, sys; sys.argv = ['mnv2-dense', *{words}]\n"
        "try: runpy.run_module('mnv2_dense', run_name='__main__')\n"
        f"finally: print(*{HEAVY} & set(sys.modules), file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder
    )


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("configs",)])
def test_nothing_is_imported_before_it_is_needed(words: tuple[str, ...], tmp_path: Path) -> None:
    done = run_module(*words, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "\n")


def test_it_is_a_module_to_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mnv2_dense", "train", "ssdlite_coco.yaml", "input.hight=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("input.hight is no known key; did you mean input.height?\n")


@pytest.mark.long
def test_two_processes_train(shapes_set: Path, tmp_path: Path) -> None:
    """The second one is started as the first one was."""
    command = [sys.executable, "-m", "mnv2_dense", "train", CONFIG]
    command += [*tiny_overrides(shapes_set, tmp_path), "training.devices=2", "training.epochs=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder") == 1
    assert checkpoint(only_run(tmp_path))["global_step"] == 2
