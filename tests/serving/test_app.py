import asyncio
import io
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from mnv2_dense.prediction.engine import DetectorArrays
from mnv2_dense.serving import app as app_module
from mnv2_dense.serving.app import ASSETS, MAX_WAITING, Answers, build_app
from mnv2_dense.serving.uploads import UNTYPED
from tests.serving.networks import BOXES, KnownDetector, served, stalled, viewer_of

LIMIT = 20_000
PICTURE = {"content-type": "image/png"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    app = build_app(viewer_of(KnownDetector()), max_bytes=LIMIT)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def png(size: tuple[int, int] = (30, 20)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return file.getvalue()


def bmp_of(width: int, height: int) -> bytes:
    """The header of a picture, which says its size, and none of its pixels."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "BMP")
    content = bytearray(file.getvalue())
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def test_the_page_loads_nothing_of_others(client: TestClient) -> None:
    for place in ASSETS:
        answer = client.get(place)
        assert answer.status_code == 200
        assert "://" not in answer.text
    page = client.get("/").text
    assert "<style" not in page
    assert " on" not in page.replace(" one ", "")  # no handlers in the markup


def test_the_model_is_described(client: TestClient) -> None:
    model = client.get("/model").json()
    assert model["engine"] == "Known 1.0"
    assert model["weights"] == "known.onnx"
    assert model["max_bytes"] == LIMIT


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", UNTYPED])
def test_a_picture_is_answered(client: TestClient, folder: Path, kind: str) -> None:
    answer = client.post("/predict", content=png(), headers={"content-type": kind})
    assert answer.status_code == 200
    assert len(answer.json()["boxes"]) == len(BOXES)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "kind", "status", "message"),
    [
        (b"no picture", "image/png", 422, "not an image, or of no supported format (JPEG"),
        (png((2000, 2000))[:3000], "image/png", 422, "cannot be read"),
        (b"", "image/png", 400, "the file is empty"),
        (b"%PDF", "application/pdf", 415, "not a picture but application/pdf"),
        (png(), "multipart/form-data; boundary=x", 415, "not a picture but multipart/form-data"),
        (bytes(LIMIT + 1), "image/png", 413, "larger than 0.0190735 MB"),
        (bmp_of(13_400, 13_400), "image/bmp", 422, "the image is too large to be opened safely"),
    ],
)
def test_bad_uploads(
    client: TestClient, folder: Path, content: bytes, kind: str, status: int, message: str
) -> None:
    answer = client.post("/predict", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert str(folder) not in answer.text
    assert list(folder.iterdir()) == []


def test_a_browser_that_goes_leaves_nothing(folder: Path) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    assert asyncio.run(_status(Answers(viewer_of(KnownDetector()), LIMIT), receive)) == 499
    assert list(folder.iterdir()) == []


def test_stalled_uploads_shut_nobody_out(folder: Path) -> None:
    with served(KnownDetector(), LIMIT) as address, ExitStack() as stack:
        for _ in range(MAX_WAITING + 1):
            stack.enter_context(stalled(address))
        assert upload(address) == 200
        assert len(list(folder.iterdir())) == MAX_WAITING + 1


def test_uploads_at_once_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MAX_RECEIVING", 2)
    with served(KnownDetector(), LIMIT) as address:
        with stalled(address), stalled(address):
            assert upload(address) == 503
        # The server hears that they have gone when it next looks.
        assert any(upload(address) == 200 for _ in range(100))


def test_a_stalled_upload_is_told_and_let_go(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("mnv2_dense.serving.uploads.MAX_PAUSE", 0.05)
    with served(KnownDetector(), LIMIT) as address, stalled(address) as connection:
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # to the end: it is closed
        assert b"408 Request Timeout" in answer
        assert b"connection: close" in answer.lower()
        assert b"the upload stalled for 0.05 seconds; try again" in answer
        assert list(folder.iterdir()) == []


def upload(address: str) -> int:
    return httpx.post(f"{address}predict", content=png(), headers=PICTURE).status_code


async def _status(answers: Answers, receive: object) -> int:
    headers = [(b"content-type", b"image/png")]
    scope = {"type": "http", "method": "POST", "headers": headers}
    return (await answers.answer(app_module.Request(scope, receive))).status_code  # pyrefly: ignore[bad-argument-type]  a test's own


class Slow(KnownDetector):
    """Waits to be let go, and remembers how many looked, and how many at once."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.runs = self.now = self.most = 0

    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> DetectorArrays:
        self.runs += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self.go.wait(10)
        self.now -= 1
        return super().run(images, score_threshold)


def test_one_at_a_time_and_not_without_end() -> None:
    engine = Slow()
    answers = Answers(viewer_of(engine), LIMIT)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": png(), "more_body": False}

    async def ask_all() -> list[int]:
        asked = [asyncio.create_task(_status(answers, receive)) for _ in range(MAX_WAITING)]
        async with asyncio.timeout(10):
            while answers.waiting.taken < MAX_WAITING:
                await asyncio.sleep(0)
        refused = await _status(answers, receive)
        engine.go.set()
        return [refused, *await asyncio.gather(*asked)]

    assert asyncio.run(ask_all()) == [503, *[200] * MAX_WAITING]
    assert engine.most == 1
    assert answers.waiting.taken == answers.receiving.taken == 0


def test_nobody_looks_for_a_browser_that_has_gone() -> None:
    engine = Slow()
    answers = Answers(viewer_of(engine), LIMIT)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": png(), "more_body": False}

    async def ask_both() -> list[int]:
        end: dict[str, object] = {"type": "http.disconnect"}
        messages = [await receive(), end]

        async def leave() -> dict[str, object]:
            return messages.pop(0)

        asked = [asyncio.create_task(_status(answers, each)) for each in (receive, leave)]
        async with asyncio.timeout(10):
            while answers.waiting.taken < len(asked):
                await asyncio.sleep(0)
        engine.go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask_both()) == [200, 499]
    assert engine.runs == 1


class Broken(KnownDetector):
    """A bug of ours."""

    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> DetectorArrays:
        raise RuntimeError("/secret/place")


def test_a_bug_tells_the_browser_nothing(folder: Path) -> None:
    app = build_app(viewer_of(Broken()))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/predict", content=png(), headers=PICTURE)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert list(folder.iterdir()) == []


def test_exported_models_are_served_without_torch() -> None:
    code = "import sys; import mnv2_dense.commands.demo, mnv2_dense.serving.app; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
