import asyncio
import io
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from mnv2_dense.prediction.engine import DetectorArrays
from mnv2_dense.serving import app as app_module
from mnv2_dense.serving.app import ASSETS, MAX_WAITING, Predictions, build_app
from mnv2_dense.serving.uploads import UNTYPED
from tests.serving.networks import BOXES, KnownDetector, viewer_of

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


def test_what_is_written_is_bounded(folder: Path) -> None:
    """Of a body without end, told part by part."""
    taken: list[int] = []

    async def receive() -> dict[str, object]:
        taken.append(1)
        return {"type": "http.request", "body": bytes(LIMIT // 4), "more_body": True}

    assert asyncio.run(_status(Predictions(viewer_of(KnownDetector()), LIMIT), receive)) == 413
    assert len(taken) == 5


def test_a_browser_that_goes_leaves_nothing(folder: Path) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    assert asyncio.run(_status(Predictions(viewer_of(KnownDetector()), LIMIT), receive)) == 499
    assert list(folder.iterdir()) == []


def test_a_slow_upload_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnv2_dense.serving.uploads.MAX_SECONDS", 0.01)

    async def receive() -> dict[str, object]:
        await asyncio.sleep(10)
        raise AssertionError

    assert asyncio.run(_status(Predictions(viewer_of(KnownDetector()), LIMIT), receive)) == 408


async def _status(predictions: Predictions, receive: object) -> int:
    headers = [(b"content-type", b"image/png")]
    scope = {"type": "http", "method": "POST", "headers": headers}
    return (await predictions.answer(app_module.Request(scope, receive))).status_code  # pyrefly: ignore[bad-argument-type]  a test's own


class Slow(KnownDetector):
    """Waits to be let go, and remembers how many looked at once."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.now = self.most = 0

    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> DetectorArrays:
        self.now += 1
        self.most = max(self.most, self.now)
        self.go.wait(10)
        self.now -= 1
        return super().run(images, score_threshold)


def test_one_at_a_time_and_not_without_end() -> None:
    engine = Slow()
    predictions = Predictions(viewer_of(engine), LIMIT)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": png(), "more_body": False}

    async def ask_all() -> list[int]:
        asked = [asyncio.create_task(_status(predictions, receive)) for _ in range(MAX_WAITING)]
        while predictions.waiting < MAX_WAITING:
            await asyncio.sleep(0)
        refused = await _status(predictions, receive)
        engine.go.set()
        return [refused, *await asyncio.gather(*asked)]

    assert asyncio.run(ask_all()) == [503, *[200] * MAX_WAITING]
    assert engine.most == 1
    assert predictions.waiting == 0


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
