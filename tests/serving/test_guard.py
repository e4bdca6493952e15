import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mnv2_dense.serving.guard import Guard


@pytest.fixture(scope="module")
def client() -> TestClient:
    def answer(_: Request) -> Response:
        return PlainTextResponse("secret")

    routes = [Route("/", answer, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, names=["Studio.local"])])
    return TestClient(app)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "10.0.0.7", "studio.local:80"],
)
def test_the_machine_itself_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).text == "secret"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("user@evil.example", "[::1", "", "evil.example:x"),
    ],
)
def test_another_name_for_it_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "secret" not in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_are_refused(client: TestClient, site: str) -> None:
    headers = {"host": "localhost", "sec-fetch-site": site}
    assert client.get("/", headers=headers).status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_page_in_another_page_asks_for_is_refused(client: TestClient, method: str) -> None:
    """A link to the page is followed, in a window of its own."""
    headers = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}
    assert client.request(method, "/", headers=headers).status_code == 403
    linked = client.request(method, "/", headers={**headers, "sec-fetch-dest": "document"})
    assert linked.status_code == (200 if method == "GET" else 403)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        *(("http://10.0.0.7:8000", 200), ("http://10.0.0.7", 403), ("http://10.0.0.7:3000", 403)),
        *(("http://evil.example", 403), ("null", 403), ("http://[", 403)),
    ],
)
def test_browsers_that_tell_the_origin_alone(client: TestClient, origin: str, status: int) -> None:
    headers = {"host": "10.0.0.7:8000", "origin": origin}
    assert client.post("/", headers=headers).status_code == status


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_answer_keeps_the_browser_in(client: TestClient, host: str) -> None:
    headers = client.get("/", headers={"host": host}).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
