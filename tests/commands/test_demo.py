import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import httpx
import pytest

from mnv2_dense.commands.demo import listen
from mnv2_dense.errors import UserError
from tests.commands.tiny import ROOT, run_tool
from tests.serving.networks import KnownDetector, stalled


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A model file that is opened without reading it; the server ends before it begins."""
    import uvicorn

    from mnv2_dense.prediction.predictor import Predictor

    def load(path: Path, **_: object) -> Predictor:
        if not path.is_file():
            raise UserError(f"{path}: no such checkpoint or exported model")
        return Predictor(KnownDetector(), 1)

    def run(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mnv2_dense.exporting.loading.load", load)
    monkeypatch.setattr(uvicorn.Server, "run", run)
    path = tmp_path / "known.onnx"
    path.touch()
    return path


class Served(NamedTuple):
    """A process of its own that serves a page, as a user starts it."""

    process: subprocess.Popen[str]
    port: int


@contextmanager
def serving(*command: object) -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        address = process.stdout.readline().partition(" ")[0]
        try:
            yield Served(process, int(address.rpartition(":")[2]))
        finally:
            process.kill()


KNOWN = """
import runpy, sys
from mnv2_dense.exporting import loading
from mnv2_dense.prediction.predictor import Predictor
from tests.serving.networks import KnownDetector
loading.load = lambda *_, **__: Predictor(KnownDetector(), 1)
sys.argv = ["demo.py", "known.onnx", "--port", "0"]
runpy.run_path("tools/demo.py", run_name="__main__")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_without_a_traceback(number: int, code: int) -> None:
    with serving("-c", KNOWN) as (process, port):
        assert httpx.get(f"http://127.0.0.1:{port}/model").json()["engine"] == "Known 1.0"
        with stalled(f"http://127.0.0.1:{port}"):
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors


def test_ctrl_c_before_the_page_is_served_interrupts(
    known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("mnv2_dense.exporting.loading.load", load)
    outcome = run_tool("demo", known, "--port", 0)
    assert (outcome.code, outcome.err) == (130, "interrupted\n")


def test_it_is_this_machines_alone_until_ctrl_c(known: Path) -> None:
    outcome = run_tool("demo", known, "--port", 0).require_success()
    assert f"{known}: Known 1.0\nhttp://127.0.0.1:" in outcome.out
    assert "warning" not in outcome.out


def test_another_host_is_warned_of(known: Path) -> None:
    outcome = run_tool("demo", known, "--port", 0, "--host", "0.0.0.0").require_success()
    assert "warning: at 0.0.0.0 everyone in the network can use this page" in outcome.out


def test_a_port_that_is_taken(known: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        outcome = run_tool("demo", known, "--port", port)
    assert outcome.code == 2
    assert f"cannot serve at 127.0.0.1 port {port}: another program is there" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.onnx", "--port", 0), "missing.onnx: no such checkpoint or exported model"),
        (("known.onnx", "--host", "a..b"), "--host a..b: no address of this machine (no name of a"),
        (("known.onnx", "--host", ""), "--host : no address of this machine"),
        (("known.onnx", "--port", 70000), "--port is from 0 to 65535, not 70000"),
        (("known.onnx", "--threads", 0), "--threads is at least 1, not 0"),
    ],
)
def test_mistakes(known: Path, arguments: tuple[object, ...], message: str) -> None:
    outcome = run_tool("demo", *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_a_library_that_is_missing(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    outcome = run_tool("demo", known)
    assert outcome.code == 2
    assert "pip install 'mnv2-dense[demo]'" in outcome.err


@pytest.mark.long
def test_a_checkpoint_is_served(trained_run: Path, shapes_set: Path) -> None:
    weights = trained_run / "checkpoints" / "best.ckpt"
    picture = next((shapes_set / "val2017").iterdir()).read_bytes()
    with (
        serving("tools/demo.py", weights, "--port", 0, "--threads", 1) as (_, port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        model = client.get("/model").json()
        kind = {"content-type": "image/jpeg"}
        answer = client.post("/predict", content=picture, headers=kind).json()
    assert (model["task"], model["weights"]) == ("detection", "best.ckpt")
    assert answer["engine"] == model["engine"]
    assert answer["size"] == [64, 64]
    assert isinstance(answer["boxes"], list)
