"""Which state of a file on a server an answer is of: what must hold before bytes are joined."""

import re
from typing import NamedTuple

import requests

_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class Version(NamedTuple):
    """What tells one state of a file on a server from another of the same size."""

    url: str
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What `If-Range` takes: a strong ETag, or the date; None where the server gives neither.

        Source: RFC 9110, section 13.1.5.
        """
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.modified


def version_of(url: str, response: requests.Response) -> Version:
    """The version that an answer is of."""
    return Version(url, response.headers.get("ETag"), response.headers.get("Last-Modified"))


def total_of(response: requests.Response) -> int | None:
    """Bytes of the whole file, as an answer with all or a part of it says; None if it does not."""
    if response.status_code == requests.codes.ok:
        length = response.headers.get("Content-Length", "")
        return int(length) if _LENGTH.fullmatch(length) else None
    given = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return None if given is None or given[2] == "*" else int(given[2])


def is_stale(response: requests.Response, known: Version, held: int) -> bool:
    """Whether an answer to a request for the rest shows that the file is another one now."""
    if response.status_code != requests.codes.partial_content:
        return False
    given = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if given is None or given[1] is None or int(given[1]) != held:
        return True
    new = version_of(known.url, response)
    return any(None not in pair and pair[0] != pair[1] for pair in zip(new, known, strict=True))
