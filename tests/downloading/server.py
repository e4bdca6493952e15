"""A server on this machine with the faults of real ones, and small archives for it to serve."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server holds and how it fails; tests change it between requests.

    Attributes:
        files: Bytes by name.
        cuts: For each coming answer, after how many bytes of it the connection is cut.
        statuses: For each coming answer, an error's status to answer with; 0 answers well.
        ranges: Whether parts of files are sent.
        honest: Whether `If-Range` counts, and a part says of which version it is.
        tells: Whether a part says that even if not `honest`.
        etags: Whether answers have an ETag, else only a date.
        sized: Whether answers say how long they are.
        requests: The `Range` header of every request, None where it had none.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    honest: bool = True
    tells: bool = False
    etags: bool = True
    dates: bool = True
    sized: bool = True
    url: str = ""
    requests: list[str | None] = field(default_factory=list)

    def tag(self, content: bytes) -> str:
        return f'"{hashlib.sha1(content).hexdigest()}"'


@contextmanager
def serve() -> Iterator[Behaviour]:
    behaviour = Behaviour()

    class Handler(_Handler):
        faults = behaviour

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    behaviour.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    faults: Behaviour

    def do_GET(self) -> None:
        faults = self.faults
        faults.requests.append(self.headers["Range"])
        content = faults.files.get(self.path[1:])
        status = faults.statuses.pop(0) if faults.statuses else 0
        if content is None or status:
            self.send_error(status or 404)
            return
        start = self._start(content, self.headers)
        if start > 0 and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            end = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self._describe(content, start)
        self.end_headers()
        cut = faults.cuts.pop(0) if faults.cuts else len(content)
        self.wfile.write(content[start : start + cut])

    def _start(self, content: bytes, headers: Message) -> int:
        given = re.fullmatch(r"bytes=(\d+)-", headers["Range"] or "")
        if given is None or not self.faults.ranges:
            return 0
        if self.faults.honest and headers["If-Range"] not in self._validators(content):
            return 0
        return int(given[1])

    def _describe(self, content: bytes, start: int) -> None:
        tag, date = self._validators(content)
        if self.faults.honest or self.faults.tells or not start:
            if self.faults.etags:
                self.send_header("ETag", tag)
            if self.faults.dates:
                self.send_header("Last-Modified", date)
        if self.faults.sized:
            self.send_header("Content-Length", str(len(content) - start))

    def _validators(self, content: bytes) -> tuple[str, str]:
        second = hashlib.sha1(content).digest()[0] % 60
        return self.faults.tag(content), f"Sat, 12 May 2012 10:00:{second:02d} GMT"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
