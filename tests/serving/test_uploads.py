import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request

from mnv2_dense.serving import uploads
from mnv2_dense.serving.uploads import UNTYPED, UploadError, receive_picture

Message = dict[str, object]
Receive = Callable[[], Awaitable[Message]]
LIMIT = 1000
PICTURE = {"content-type": "image/png"}


def parts(*bodies: bytes, pause: float = 0.0) -> Receive:
    """A body that comes part by part, each after a pause in seconds."""
    left = list(bodies)

    async def receive() -> Message:
        await asyncio.sleep(pause)
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    return receive


async def silence() -> Message:
    await asyncio.sleep(10)
    raise AssertionError("it was waited for")


def take(
    path: Path,
    receive: Receive = silence,
    headers: Mapping[str, str] = PICTURE,
    max_bytes: int = LIMIT,
) -> None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": pairs}, receive)
    asyncio.run(receive_picture(request, path, max_bytes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture"


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/JPEG", "image/png; x=y", UNTYPED])
def test_the_file_is_the_body_to_the_last_byte(path: Path, kind: str) -> None:
    take(path, parts(b"ab", b"", b"c" * (LIMIT - 2)), {"content-type": kind})
    assert path.read_bytes() == b"ab" + b"c" * (LIMIT - 2)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("text/html", "text/html"),
        ("multipart/form-data; boundary=image/png", "multipart/form-data"),
        ("text/plain;image/png", "text/plain"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("\x1b[2j", r"\x1b[2j"),
        ("", "of no type"),
    ],
)
def test_other_types_are_refused_unread(path: Path, kind: str, named: str) -> None:
    with pytest.raises(UploadError) as caught:
        take(path, headers={"content-type": kind})
    assert (caught.value.status, str(caught.value)) == (415, f"not a picture but {named}")
    assert not path.exists()


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 5000])
def test_what_says_it_is_too_large_is_refused_unread(path: Path, length: str) -> None:
    with pytest.raises(UploadError, match=r"^larger than .* MB; give a smaller file$") as caught:
        take(path, headers={**PICTURE, "content-length": length})
    assert caught.value.status == 413
    assert not path.exists()


@pytest.mark.parametrize("length", [{}, {"content-length": "5"}, {"content-length": "-1"}])
def test_what_comes_is_counted_whatever_it_says(path: Path, length: dict[str, str]) -> None:
    taken = count()

    async def receive() -> Message:
        assert next(taken) < 5
        return {"type": "http.request", "body": bytes(LIMIT // 4), "more_body": True}

    with pytest.raises(UploadError, match="larger than") as caught:
        take(path, receive, {**PICTURE, **length})
    assert caught.value.status == 413
    assert next(taken) == 5
    assert path.stat().st_size <= LIMIT


def test_an_upload_is_not_held_in_memory(path: Path) -> None:
    size, number = 64 * 2**10, 200

    async def receive() -> Message:
        nonlocal number
        number -= 1
        return {"type": "http.request", "body": bytes(size), "more_body": number > 0}

    tracemalloc.start()
    try:
        take(path, receive, max_bytes=size * number)
        assert tracemalloc.get_traced_memory()[1] < 10 * size
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == 200 * size


def test_an_empty_file_is_refused(path: Path) -> None:
    with pytest.raises(UploadError, match=r"^the file is empty$") as caught:
        take(path, parts(b""))
    assert caught.value.status == 400


def test_a_torn_upload_is_no_picture(path: Path) -> None:
    beginning: Message = {"type": "http.request", "body": b"a", "more_body": True}
    end: Message = {"type": "http.disconnect"}
    messages = [beginning, end]

    async def receive() -> Message:
        return messages.pop(0)

    with pytest.raises(ClientDisconnect):
        take(path, receive)


def test_an_upload_that_stalls_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PAUSE", 0.01)
    with pytest.raises(UploadError, match=r"stalled for 0\.01 seconds; try again") as caught:
        take(path)
    assert caught.value.status == 408


def test_parts_of_nothing_are_no_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PAUSE", 0.05)
    with pytest.raises(UploadError, match="stalled"):
        take(path, parts(*[b""] * 100, b"a", pause=0.01))


def test_a_slow_upload_that_goes_on_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PAUSE", 0.5)
    take(path, parts(*[b"a"] * 6, pause=0.1))
    assert path.read_bytes() == b"a" * 6


def test_an_upload_that_goes_on_for_ever_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_SECONDS", 0.05)
    with pytest.raises(UploadError, match=r"took more than 0\.05 seconds") as caught:
        take(path, parts(*[b"a"] * 100, pause=0.01))
    assert caught.value.status == 408
