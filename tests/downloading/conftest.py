from collections.abc import Iterator

import pytest

from tests.downloading.server import Behaviour, serve


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server on this machine, reached directly whatever proxies the machine has."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serve() as behaviour:
        yield behaviour
