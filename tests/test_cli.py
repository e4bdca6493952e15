import errno
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from torch.utils.data import DataLoader, Dataset

from mnv2_dense.cli import message_of, program, run_command
from mnv2_dense.errors import UserError
from tests.commands.tiny import CONFIG, ROOT

TOOLS = sorted(path.name for path in (ROOT / "tools").glob("*.py"))


class Broken(Dataset[int]):
    """A data set whose one sample is a user's mistake."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> NoReturn:
        raise UserError("picture.jpg: the image cannot be read")


def raises(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("tools/train.py", "train.py"),
        ("/usr/bin/mnv2-dense", "mnv2-dense train"),
        ("/mnv2_dense/__main__.py", "mnv2-dense train"),
    ],
)
def test_the_help_names_a_command_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, called: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called, "train.py"])
    assert program("train") == name


def test_done() -> None:
    assert run_command(lambda: None) == 0


def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: raises(UserError("no such thing"))) == 2
    assert capsys.readouterr() == ("", "error: no such thing\n")


def test_a_message_cannot_clear_the_terminal_or_never_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "a\x1b[2J: " + "b" * 100_000 + "\n" * 1000
    assert run_command(lambda: raises(UserError(text))) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: a\\x1b[2J: b")
    assert len(shown) < 5000


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: raises(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_ctrl_c_that_lightning_made_an_exit(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    assert run_command(command) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert run_command(lambda: raises(full)) == 2
    assert capsys.readouterr() == ("", "error: No space left on device\n")
    with pytest.raises(OSError, match="bad descriptor"):
        run_command(lambda: raises(OSError(errno.EBADF, "bad descriptor")))


def test_other_exits_and_bugs_pass() -> None:
    with pytest.raises(SystemExit):
        run_command(lambda: sys.exit(143))
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: raises(ZeroDivisionError()))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_message_from_a_loader_is_ours(workers: int) -> None:
    with pytest.raises(UserError) as caught:
        list(DataLoader(Broken(), num_workers=workers))
    assert message_of(caught.value) == "picture.jpg: the image cannot be read"


@pytest.mark.parametrize("tool", TOOLS)
def test_help(tool: str, tmp_path: Path) -> None:
    done = run_script(tool, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {tool} ")
    assert done.stderr == ""


def test_help_and_config_start_without_torch(tmp_path: Path) -> None:
    """They answer at once: nothing heavy is imported."""
    program = (
        f"import runpy, sys; sys.argv = ['train.py', {str(CONFIG)!r}, '--print-config']\n"
        f"try: runpy.run_path({str(ROOT / 'tools' / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "optimizer:" in done.stdout


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"'{sys.executable}' '{ROOT / 'tools' / 'train.py'}' --print-schema | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def run_script(tool: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / tool, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_the_real_command_line_ends_in_one_line(tmp_path: Path) -> None:
    done = run_script("summary.py", "nowhere.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: nowhere.yaml: no such config file\n"
