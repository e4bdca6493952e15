"""How every command ends: what the user sees of a mistake, and the exit code."""

import sys
from collections.abc import Callable

from mnv2_dense.errors import UserError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130


def run_command(command: Callable[[], None]) -> int:
    """Runs a command and returns its exit code: 0, 2 for a user's mistake, 130 for Ctrl-C."""
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
