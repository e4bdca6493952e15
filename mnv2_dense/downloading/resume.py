"""Downloads that go on where they stopped: what the library `pooch` leaves to its users."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ProtocolError, TimeoutError

from mnv2_dense.downloading.partial import Partial
from mnv2_dense.downloading.space import require_space, show_bytes
from mnv2_dense.downloading.version import Version, is_stale, total_of, version_of
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
    otherwise the file is fetched from its beginning. Answers of another size than the wanted one
    are refused before anything held is touched.

    Attributes:
        partial: What has come. It stays after an error or Ctrl-C, and beside the finished file:
            only the caller knows when that has been checked, and calls `partial.forget`.
        size: Bytes of the whole file.
        reserve: Bytes that must be free on the disk beyond the file's own.
        pauses: Seconds before each new try after a failure.
    """

    def __init__(
        self, partial: Path, size: int, *, reserve: int = 0, pauses: Sequence[float] = PAUSES
    ) -> None:
        self.partial = Partial(partial, size)
        self.size = size
        self.reserve = reserve
        self.pauses = pauses

    def __call__(
        self, url: str, output_file: str, pooch: object, check_only: bool | None = False
    ) -> None:
        """Fetches `url` to `output_file`; called by pooch.

        Raises:
            UserError: The server refuses or has another file, no try brought anything new, or the
                disk is full.
        """
        self.partial.keep_better()  # Of a call that was killed.
        try:
            self._complete(url)
        finally:
            self.partial.keep_better()
        Path(output_file).unlink(missing_ok=True)
        try:
            # pooch deletes its file if Ctrl-C stops the checksum; the other name keeps the bytes.
            os.link(self.partial.path, output_file)
        except OSError:
            self.partial.path.replace(output_file)

    def _complete(self, url: str) -> None:
        pauses, most = iter(self.pauses), self.partial.held()
        while True:
            try:
                return self._attempt(url)
            except (requests.RequestException, HTTPError) as error:
                reason = _first_line(error)
            if self.partial.held() > most:
                pauses, most = iter(self.pauses), self.partial.held()
            pause = next(pauses, None)
            if pause is None:
                self.partial.keep_better()
                kept = show_bytes(self.partial.held())
                raise UserError(
                    f"{url}: cannot be fetched ({reason}); {kept} of it are kept, and "
                    "the same command goes on from there. A file fetched by other "
                    f"means is taken as {self.partial.path.with_suffix('')}"
                )
            print(f"{url}: {reason}; trying again in {pause:g} s", flush=True)
            time.sleep(pause)

    def _attempt(self, url: str) -> None:
        if self.partial.version(url) is None:
            self.partial.keep_better()
        if self.partial.held() == self.size:
            return
        known = self.partial.version(url)
        with self._get(url, known) as response:
            if known is None or not is_stale(response, known, self.partial.held()):
                return self._receive(url, response)
        with self._get(url, None) as response:
            self._receive(url, response)

    def _get(self, url: str, known: Version | None) -> requests.Response:
        """An answer with all, or the rest of a known version, that can be of the wanted file."""
        headers = _headers(known, self.partial.held())
        response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
        try:
            _check_status(response, resumed=known is not None)
            total = total_of(response)
            if total not in (None, self.size):
                raise self._another(url, f"{total} bytes")
        except Exception:
            response.close()
            raise
        return response

    def _another(self, url: str, what: str) -> UserError:
        held = show_bytes(self.partial.held())
        return UserError(
            f"{url}: the server sends {what}, the catalogue says {self.size}: something on the way "
            "answers in its place (a login page, a proxy), or the file has changed; what is held "
            f"is kept ({held})"
        )

    def _receive(self, url: str, response: requests.Response) -> None:
        """Appends the rest to what is held, or starts again where all is sent."""
        again = response.status_code == requests.codes.ok
        rest = self.size - (0 if again else self.partial.held())
        purpose = f"{self.partial.path.stem} and its files"
        require_space(self.partial.path.parent, rest + self.reserve, purpose)
        if again:
            self.partial.begin(version_of(url, response))
        self._write(url, response)

    def _write(self, url: str, response: requests.Response) -> None:
        before = held = self.partial.held()
        bar = tqdm(
            *(None, self.partial.path.stem, self.size),
            initial=held,
            unit="B",
            unit_scale=True,
            disable=None,  # Only a terminal can draw it.
        )
        try:
            with bar, self.partial.path.open("ab") as file:
                # Undecoded: some servers call a .tgz gzip-encoded, which is its own compression.
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    held += len(chunk)
                    if held > self.size:
                        break
                    file.write(chunk)
                    bar.update(len(chunk))
            if held > self.size:
                self.partial.cut(before)
        except OSError as error:
            raise UserError(
                f"{self.partial.path}: cannot be written ({error.strerror}); what has come is "
                "kept: make room and run the same command again"
            ) from error
        if held > self.size:
            self.partial.keep_better()
            raise self._another(url, "more bytes")
        if held < self.size:
            raise HTTPError(f"the connection ended after {held} of {self.size} bytes")


def _headers(known: Version | None, held: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if known is not None and known.validator is not None:
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
        f"{response.url}: {answer}; what is held is kept. Fetch the file by other means, or report "
        "the address"
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
