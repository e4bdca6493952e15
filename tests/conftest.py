"""What every test stands on: one CPU thread, no network, and the shared real data if present."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from hypothesis import settings

from mnv2_dense.shapes.dataset import generate
from tests.commands.tiny import SIZE, TRAIN_IMAGES, VAL_IMAGES, only_run, train, train_segmenter

# The same cases in every run: a landing must not hang on a draw. No deadline: cores are shared.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SHARED_VARIABLE = "MNV2_DENSE_SHARED"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Several test processes share few cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def heeded_ctrl_c() -> None:
    """A shell that runs the tests in the background has them ignore it, and all they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """A test that reaches for another machine fails; processes of one machine may talk."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int] | str) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in {"localhost", "127.0.0.1", "::1", socket.gethostname()}:
            refuse(host)
        connect(self, address)

    def refuse(host: object) -> NoReturn:
        pytest.fail(f"a test tried to reach {host} over the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data (COCO and VOC excerpts, trained weights), where there is one."""
    folder = os.environ.get(SHARED_VARIABLE)
    if not folder:
        pytest.skip(f"real data: set {SHARED_VARIABLE} to their folder")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"{SHARED_VARIABLE} names {path}, which is no folder")
    return path


@pytest.fixture(scope="session")
def shapes_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny built-in data set, not to be changed: tests that spoil data copy it."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    generate(root, train_images=TRAIN_IMAGES, val_images=VAL_IMAGES, size=SIZE, seed=0)
    return root


@pytest.fixture(scope="session")
def trained_run(shapes_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one tiny run of `tools/train.py`, not to be changed."""
    output = tmp_path_factory.mktemp("runs")
    train(shapes_set, output, "training.report=true").require_success()
    return only_run(output)


@pytest.fixture(scope="session")
def segmentation_run(shapes_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a segmenter."""
    output = tmp_path_factory.mktemp("segmentation_runs")
    train_segmenter(shapes_set, output, "training.report=true").require_success()
    return only_run(output)
