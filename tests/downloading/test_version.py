import pytest
from requests.models import Response

from mnv2_dense.downloading.version import Version, is_stale, total_of


def test_a_weak_etag_is_no_promise_of_equal_bytes() -> None:
    assert Version("u", 'W/"1"', None).validator is None
    assert Version("u", 'W/"1"', "date").validator == "date"
    assert Version("u", '"1"', "date").validator == '"1"'


def test_a_range_that_starts_elsewhere_is_stale() -> None:
    response = Response()
    response.status_code = 206
    response.headers["Content-Range"] = "bytes 5-9/10"
    known = Version("u", '"1"', None)
    assert is_stale(response, known, 4)
    assert not is_stale(response, known, 5)


@pytest.mark.parametrize(
    ("status", "headers", "stale"),
    [
        (200, {}, False),  # the whole file: nothing is joined
        (503, {}, False),
        (206, {}, True),
        (206, {"Content-Range": "bytes 5-9/*"}, False),
        (206, {"Content-Range": "bytes 5-9/10", "ETag": '"2"'}, True),
        (206, {"Content-Range": "bytes 5-9/10", "ETag": '"1"', "Last-Modified": "later"}, True),
        (206, {"Content-Range": "bytes 5-9/10", "ETag": '"1"', "Last-Modified": "date"}, False),
    ],
)
def test_answers_to_a_request_for_the_rest(
    status: int, headers: dict[str, str], stale: bool
) -> None:
    response = Response()
    response.status_code = status
    response.headers.update(headers)
    assert is_stale(response, Version("u", '"1"', "date"), 5) is stale


@pytest.mark.parametrize(
    ("status", "headers", "total"),
    [
        (200, {"Content-Length": "10"}, 10),
        (200, {"Content-Length": "ten"}, None),
        (200, {"Content-Length": "9" * 5000}, None),
        (206, {"Content-Range": f"bytes 5-9/{'9' * 5000}"}, None),
        (200, {}, None),
        (206, {"Content-Range": "bytes 5-9/10", "Content-Length": "5"}, 10),
        (206, {"Content-Range": "bytes 5-9/*", "Content-Length": "5"}, None),
        (416, {"Content-Range": "bytes */10"}, 10),
        (416, {}, None),
    ],
)
def test_the_size_of_the_whole(status: int, headers: dict[str, str], total: int | None) -> None:
    response = Response()
    response.status_code = status
    response.headers.update(headers)
    assert total_of(response) == total
