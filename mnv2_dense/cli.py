"""How every command ends: what the user sees of a mistake, and the exit code."""

import errno
import sys
from collections.abc import Callable

from mnv2_dense.errors import UserError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors that often name no file, or the one that was read."""


def run_command(command: Callable[[], None]) -> int:
    """Runs a command and returns its exit code.

    0 is done, 130 is Ctrl-C; 2 is a user's mistake, or a file that cannot be read or written.
    """
    try:
        command()
    except UserError as error:
        print(f"error: {message_of(error)}", file=sys.stderr)
        return EXIT_MISTAKE
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
    except OSError as error:
        # A full disk, a folder in a file's place, a name too long: the machine's, not a bug.
        if error.filename is None and error.errno not in DISK_FULL:
            raise
        place = "" if error.filename is None else f"{error.filename}: "
        print(f"error: {place}{error.strerror}", file=sys.stderr)
        return EXIT_MISTAKE
    return 0


def _interrupted() -> int:
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
