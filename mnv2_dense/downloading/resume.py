"""Downloads that go on where they stopped: what the library `pooch` leaves to its users."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ProtocolError, TimeoutError

from mnv2_dense.downloading.space import require_space, show_bytes
from mnv2_dense.downloading.version import Version, is_stale, version_of
from mnv2_dense.errors import UserError

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each new try; it starts over once more of the file has come than ever before."""

_TIMEOUT = (15, 60)  # seconds to connect, and without a byte
_CHUNK = 1 << 16
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # status codes that another try may cure


class ResumingDownloader:
    """A downloader for `pooch.retrieve` that keeps what has come and asks only for the rest.

    The rest is asked for under the condition that the file is still the same (`If-Range`). What
    comes is appended only if it starts where the partial file ends and is of the same version;
    otherwise the file is fetched from its beginning.

    Attributes:
        partial: The partial file. It stays after an error or Ctrl-C, and beside the finished
            file: only the caller knows when that has been checked, and calls `forget`.
        reserve: Bytes that must be free on the disk beyond the file's own.
        pauses: Seconds before each new try after a failure.
    """

    def __init__(
        self, partial: Path, *, reserve: int = 0, pauses: Sequence[float] = PAUSES
    ) -> None:
        self.partial = partial
        self.reserve = reserve
        self.pauses = pauses
        self._note = partial.with_name(f"{partial.name}.json")

    def __call__(
        self, url: str, output_file: str, pooch: object, check_only: bool | None = False
    ) -> None:
        """Fetches `url` to `output_file`; called by pooch.

        Raises:
            UserError: The server refuses, no try brought anything new, or the disk is full.
        """
        self._complete(url)
        Path(output_file).unlink(missing_ok=True)
        try:
            # pooch deletes its file if Ctrl-C stops the checksum; the other name keeps the bytes.
            os.link(self.partial, output_file)
        except OSError:
            self.partial.replace(output_file)

    def forget(self) -> None:
        """Deletes the partial file."""
        self.partial.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def held(self) -> int:
        """Bytes in the partial file."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _complete(self, url: str) -> None:
        pauses, most = iter(self.pauses), self.held()
        while True:
            try:
                return self._attempt(url)
            except (requests.RequestException, HTTPError) as error:
                reason = _first_line(error)
            if self.held() > most:
                pauses, most = iter(self.pauses), self.held()
            pause = next(pauses, None)
            if pause is None:
                raise UserError(
                    f"{url}: cannot be fetched ({reason}); {show_bytes(self.held())} of it are "
                    "kept, and the same command goes on from there. A file fetched by other "
                    f"means is taken as {self.partial.with_suffix('')}"
                )
            print(f"{url}: {reason}; trying again in {pause:g} s", flush=True)
            time.sleep(pause)

    def _attempt(self, url: str) -> None:
        known = self._known(url)
        if known is None:
            self.forget()
        held = self.held()
        if known is not None and known.size == held:
            return
        headers = _headers(known, held)
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if known is None or not held or not is_stale(response, known, held):
                return self._receive(url, response, known if held else None)
        self.forget()
        self._attempt(url)

    def _receive(self, url: str, response: requests.Response, known: Version | None) -> None:
        """Appends an answer to what is held of a known version, or starts where all is sent."""
        _check_status(response, resumed=known is not None)
        if known is None or response.status_code == requests.codes.ok:
            self.forget()
            known = version_of(url, response)
        held = self.held()
        rest = 0 if known.size is None else known.size - held
        purpose = f"{self.partial.stem} and its files"
        require_space(self.partial.parent, rest + self.reserve, purpose)
        self._note.write_text(json.dumps(known))
        self._write(response, held, known.size)

    def _write(self, response: requests.Response, held: int, size: int | None) -> None:
        bar = tqdm(
            *(None, self.partial.stem, size),
            initial=held,
            unit="B",
            unit_scale=True,
            disable=None,  # Only a terminal can draw it.
        )
        try:
            with bar, self.partial.open("ab" if held else "wb") as file:
                # Undecoded: some servers call a .tgz gzip-encoded, which is its own compression.
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
        except OSError as error:
            raise UserError(
                f"{self.partial}: cannot be written ({error.strerror}); what has come is kept: "
                "make room and run the same command again"
            ) from error
        if size is not None and self.held() != size:
            raise HTTPError(f"the connection ended after {self.held()} of {size} bytes")

    def _known(self, url: str) -> Version | None:
        """The version of what is held; None where that cannot be continued."""
        known = None
        with suppress(OSError, ValueError, TypeError):
            known = Version(*json.loads(self._note.read_text()))
        if known is None or known.url != url or known.validator is None:
            return None
        return known if known.size is None or self.held() <= known.size else None


def _headers(known: Version | None, held: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if known is not None and known.validator is not None and held:
        headers |= {"Range": f"bytes={held}-", "If-Range": known.validator}
    return headers


def _check_status(response: requests.Response, *, resumed: bool) -> None:
    status = response.status_code
    if status == requests.codes.ok or (resumed and status == requests.codes.partial_content):
        return
    answer = f"the server answers {status} {response.reason}"
    if status in _PASSING:
        raise HTTPError(answer)
    raise UserError(
        f"{response.url}: {answer}; fetch the file by other means, or report the address"
    )


def _first_line(error: Exception) -> str:
    """What went wrong, without the library's inner exceptions."""
    if isinstance(error, requests.Timeout | TimeoutError):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return f"the server cannot be reached ({type(error).__name__})"
    if isinstance(error, ProtocolError):
        return "the connection broke off"
    return str(error).split("\n", 1)[0]
