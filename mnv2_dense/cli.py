"""How every command is called and ends: its name, what a user sees of a mistake, the exit code."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from mnv2_dense.errors import UserError
from mnv2_dense.quoting import quote

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
MAX_LINES, MAX_LINE = 200, 4000
"""Of a message: texts of strangers may stand in it."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors that often name no file, or the one that was read."""


def program(name: str) -> str:
    """A command's name as the user called it, for its help: `train.py` or `mnv2-dense train`."""
    script = f"{name}.py"
    return script if Path(sys.argv[0]).name == script else f"mnv2-dense {name}"


def run_command(command: Callable[[], None]) -> int:
    """Runs a command and returns its exit code.

    0 is done, 130 is Ctrl-C; 2 is a user's mistake, or a file that cannot be read or written.
    Where several processes work together, all end with the code of the first that failed.
    """
    if _is_one_of_several():
        # PyTorch would show its own stack where the first process has ended; read at its import.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        command()
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as stop:
        # Lightning turns a Ctrl-C outside of training into an exit with code 1.
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        return _interrupted()
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; a second failure at exit says nothing.
        sys.stderr.close()
        return 1
    except Exception as error:
        line = _line_of(error)
        if _is_one_of_several():
            from mnv2_dense.training.launching import end_together

            return end_together(error, line)
        if line is None:
            raise
        print(line, file=sys.stderr)
        return EXIT_MISTAKE
    return 0


def _line_of(error: Exception) -> str | None:
    """What the user is told of an error; None for a bug, which ends with a traceback."""
    if isinstance(error, UserError):
        return f"error: {_printable(message_of(error))}"
    # A full disk, a folder in a file's place, a name too long: the machine's, not a bug.
    if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_FULL):
        place = "" if error.filename is None else f"{error.filename}: "
        return f"error: {_printable(place)}{error.strerror}"
    return None


def _printable(text: str) -> str:
    """A message without what would clear or recolour a terminal, and not without end."""
    return "\n".join(quote(line, MAX_LINE) for line in text.split("\n")[:MAX_LINES])


def _is_one_of_several() -> bool:
    """Whether other processes do the same work; torch may not even be imported."""
    return "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS") or 1) > 1


def _interrupted() -> int:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # In a terminal all processes are interrupted.
        print("interrupted", file=sys.stderr)
    return EXIT_INTERRUPTED


def message_of(error: UserError) -> str:
    """The error's own message.

    A data loader's worker wraps an exception: the same type, with its traceback as the
    message. Our message is what follows the type's name there.
    """
    text = str(error)
    if not text.startswith("Caught UserError in DataLoader worker"):
        return text
    return text.rsplit(f"{UserError.__name__}: ", maxsplit=1)[-1].strip()
