"""Pictures that a browser sends: bounded, into a file that lives as long as its prediction."""

import asyncio
from pathlib import Path

from starlette.requests import Request

from mnv2_dense.quoting import quote

MAX_BYTES = 32 * 2**20
"""Of one picture."""
MAX_SECONDS = 60.0
"""In which a picture must have come."""
MAX_PAUSE = 10.0
"""Seconds in which at least a byte of it must come."""
_DIGITS = 20
"""Of a length that are read; Python refuses thousands."""
UNTYPED = "application/octet-stream"
"""What the page calls files of which the browser does not know the type."""


class UploadError(Exception):
    """An upload that is refused.

    Attributes:
        status: The HTTP status that says so.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def receive_picture(request: Request, path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Writes the body of a request, which is the picture's file itself, to `path`.

    No form: a foreign page could send one without asking, but not a body of these types.

    Raises:
        UploadError: It is of another type, too large, empty or too slow.
        ClientDisconnect: The browser has gone.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind == UNTYPED):
        raise UploadError(415, f"not a picture but {quote(kind) or 'of no type'}")
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        _check_length(int(length[:_DIGITS]), max_bytes)
    received = await _receive(request, path, max_bytes)
    if not received:
        raise UploadError(400, "the file is empty")


async def _receive(request: Request, path: Path, max_bytes: int) -> int:
    pause = asyncio.timeout(MAX_PAUSE)
    try:
        async with asyncio.timeout(MAX_SECONDS), pause:
            return await _write(request, path, max_bytes, pause)
    except TimeoutError:
        late = (
            f"stalled for {MAX_PAUSE:g}" if pause.expired() else f"took more than {MAX_SECONDS:g}"
        )
        raise UploadError(408, f"the upload {late} seconds; try again") from None


async def _write(request: Request, path: Path, max_bytes: int, pause: asyncio.Timeout) -> int:
    """Writes what comes and returns how many bytes; every part puts off the end of `pause`."""
    received = 0
    loop = asyncio.get_running_loop()
    with path.open("wb") as file:
        async for part in request.stream():
            pause.reschedule(loop.time() + MAX_PAUSE)
            received += len(part)
            # A client may send more than it said, or not say it.
            _check_length(received, max_bytes)
            file.write(part)
    return received


def _check_length(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        raise UploadError(413, f"larger than {max_bytes / 2**20:g} MB; give a smaller file")
