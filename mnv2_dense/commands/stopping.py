"""SIGTERM as an end that cleans up behind itself."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Turns SIGTERM into `SystemExit` with code 143, so that what is unfinished is removed."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
