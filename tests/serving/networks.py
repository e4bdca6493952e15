"""Networks that always see the same, and a server of their pages."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvicorn
from numpy.typing import NDArray
from typing_extensions import override

from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.serving.app import build_app
from mnv2_dense.serving.viewer import Viewer
from mnv2_dense.structures import Category, ImageSize

SIZE = ImageSize(64, 64)
BOXES = [[0.1, 0.1, 0.5, 0.6], [0.4, 0.3, 0.95, 0.9], [0.0, 0.0, 0.3, 0.3], [0.5, 0.5, 0.8, 0.8]]
SCORES = [0.9, 0.6, 0.4, 0.1]
LABELS = [1, 0, 1, 0]
DETECTED, SEGMENTED = ("cat", "dog", "kite"), ("background", "<b>sheep</b>")


class KnownDetector(Engine):
    """Sees four boxes in every picture."""

    name = "Known 1.0"

    def __init__(self) -> None:
        self.manifest = manifest_of("detection", DETECTED, {})

    @override
    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> DetectorArrays:
        boxes = np.array([BOXES] * len(images), np.float32)
        scores = np.array([SCORES] * len(images), np.float32)
        return DetectorArrays(boxes, scores, np.array([LABELS] * len(images)))


class KnownSegmenter(Engine):
    """Sees the second class in the lower half of its input."""

    name = "Known 1.0"

    def __init__(self) -> None:
        decoding = {"align_corners": True, "large_pictures": "shrink", "window_overlap": 0.25}
        self.manifest = manifest_of("segmentation", SEGMENTED, decoding)

    @override
    def run(self, images: NDArray[np.uint8], score_threshold: float = 0.0) -> SegmenterArrays:
        label_map = np.zeros(SIZE, np.uint8)
        label_map[SIZE.height // 2 :] = 1
        logits = np.stack([label_map == 0, label_map == 1]).astype(np.float32)
        return SegmenterArrays(
            np.stack([label_map] * len(images)), np.stack([logits] * len(images))
        )


def manifest_of(task: Any, names: tuple[str, ...], decoding: Mapping[str, Any]) -> Manifest:
    return Manifest(
        task=task,
        categories=tuple(Category(number, name) for number, name in enumerate(names)),
        input_size=SIZE,
        resize="bilinear",
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        decoding=decoding,
        precision="float32",
        batch=None,
        dynamic_size=False,
        config={},
        version="0",
    )


def viewer_of(engine: Engine) -> Viewer:
    return Viewer(Predictor(engine, 1), "known.onnx")


@contextmanager
def served(engine: Engine, max_bytes: int) -> Iterator[str]:
    """The address of a page that is served meanwhile."""
    app = build_app(viewer_of(engine), max_bytes=max_bytes)
    config = uvicorn.Config(app, port=0, log_config=None, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        (listener,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def stalled(address: str) -> Iterator[socket.socket]:
    """An upload whose first byte alone has come, and is read by the server."""
    host, port = urlsplit(address).hostname, urlsplit(address).port
    with socket.create_connection((host, port), timeout=10) as connection:
        head = "POST /predict HTTP/1.1", f"Host: {host}", "Content-Type: image/png"
        head = *head, "Content-Length: 1000", "Expect: 100-continue", "\r\n"
        connection.sendall("\r\n".join(head).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")  # the app asks for the body
        connection.sendall(b"\x89")
        yield connection
