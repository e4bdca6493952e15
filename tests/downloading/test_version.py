import pytest
from requests.models import Response

from mnv2_dense.downloading.version import Version, is_stale


def test_a_weak_etag_is_no_promise_of_equal_bytes() -> None:
    assert Version("u", 'W/"1"', None, 1).validator is None
    assert Version("u", 'W/"1"', "date", 1).validator == "date"
    assert Version("u", '"1"', "date", 1).validator == '"1"'


def test_a_range_that_starts_elsewhere_is_stale() -> None:
    response = Response()
    response.status_code = 206
    response.headers["Content-Range"] = "bytes 5-9/10"
    known = Version("u", '"1"', None, 10)
    assert is_stale(response, known, 4)
    assert not is_stale(response, known, 5)
    assert is_stale(response, known._replace(size=11), 5)


@pytest.mark.parametrize(
    ("status", "headers", "stale"),
    [
        (416, {}, True),
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
    assert is_stale(response, Version("u", '"1"', "date", 10), 5) is stale
