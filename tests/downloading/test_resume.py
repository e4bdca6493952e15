import json
import os
from pathlib import Path

import numpy as np
import pytest

from mnv2_dense.downloading import resume
from mnv2_dense.downloading.resume import ResumingDownloader
from mnv2_dense.errors import UserError
from tests.downloading.server import Behaviour

CONTENT = np.random.default_rng(1).bytes(1_000_000)
OTHER = np.random.default_rng(2).bytes(1_000_000)
HALF = 500_000


@pytest.fixture
def downloader(tmp_path: Path, server: Behaviour) -> ResumingDownloader:
    server.files["a.zip"] = CONTENT
    return ResumingDownloader(tmp_path / "a.zip.part", len(CONTENT), pauses=(0, 0))


def get(downloader: ResumingDownloader, server: Behaviour) -> bytes:
    out = downloader.partial.path.parent / "out"
    downloader(f"{server.url}/a.zip", str(out), None)
    return out.read_bytes()


def fail(downloader: ResumingDownloader, server: Behaviour) -> str:
    with pytest.raises(UserError) as caught:
        get(downloader, server)
    return str(caught.value)


def stop_halfway(downloader: ResumingDownloader, server: Behaviour) -> int:
    """Leaves a partial file, as Ctrl-C would, and returns its size."""
    server.cuts = [HALF]
    server.statuses = [0, 503, 503]
    fail(downloader, server)
    server.requests.clear()
    assert 0 < downloader.partial.held() <= HALF
    assert CONTENT.startswith(downloader.partial.path.read_bytes())
    return downloader.partial.held()


def test_a_whole_file_needs_one_request(downloader: ResumingDownloader, server: Behaviour) -> None:
    assert get(downloader, server) == CONTENT
    assert server.requests == [None]


def test_cut_connections_are_continued(
    downloader: ResumingDownloader, server: Behaviour, capsys: pytest.CaptureFixture[str]
) -> None:
    server.cuts = [200_000] * 4  # more often than there are pauses, but each brings something
    assert get(downloader, server) == CONTENT
    assert server.requests[0] is None
    starts = [int((given or "0").strip("bytes=-")) for given in server.requests[1:]]
    assert starts == sorted(set(starts))
    assert len(starts) == 4
    assert capsys.readouterr().out.count("trying again in 0 s") == 4


def test_the_next_call_asks_only_for_the_rest(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    held = stop_halfway(downloader, server)
    assert get(downloader, server) == CONTENT
    assert server.requests == [f"bytes={held}-"]


def test_a_date_does_for_an_etag(downloader: ResumingDownloader, server: Behaviour) -> None:
    server.etags = False
    held = stop_halfway(downloader, server)
    assert get(downloader, server) == CONTENT
    assert server.requests == [f"bytes={held}-"]


def test_without_etag_and_date_it_starts_again(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    server.etags = server.dates = False
    server.cuts = [HALF]
    assert get(downloader, server) == CONTENT
    assert server.requests == [None, None]


def test_a_server_that_ignores_ranges(downloader: ResumingDownloader, server: Behaviour) -> None:
    held = stop_halfway(downloader, server)
    server.ranges = False
    assert get(downloader, server) == CONTENT
    assert server.requests == [f"bytes={held}-"]


def test_a_server_that_ignores_ranges_and_always_cuts_ends(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    server.ranges = False
    server.cuts = [HALF] * 20
    assert "cannot be fetched" in fail(downloader, server)
    # The pauses allow two more tries, and those bring nothing new.
    assert len(server.requests) == 3


@pytest.mark.parametrize("honest", [True, False])
def test_a_changed_file_is_never_joined(
    downloader: ResumingDownloader, server: Behaviour, honest: bool
) -> None:
    held = stop_halfway(downloader, server)
    server.files["a.zip"] = OTHER
    server.honest = honest
    server.tells = True
    assert get(downloader, server) == OTHER
    assert server.requests == [f"bytes={held}-", *([] if honest else [None])]


@pytest.mark.parametrize("content", [OTHER[:1000], OTHER + b"more", b"<html>log in</html>"])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("honest", [True, False])
def test_answers_of_another_size_are_refused_and_nothing_is_lost(
    downloader: ResumingDownloader, server: Behaviour, content: bytes, ranges: bool, honest: bool
) -> None:
    held = stop_halfway(downloader, server)
    server.files["a.zip"], server.ranges, server.honest = content, ranges, honest
    assert "kept" in fail(downloader, server)
    assert CONTENT.startswith(downloader.partial.path.read_bytes())
    assert downloader.partial.held() == held
    server.files["a.zip"], server.ranges, server.honest = CONTENT, True, True
    server.requests.clear()
    assert get(downloader, server) == CONTENT
    assert server.requests == [f"bytes={held}-"]


def test_another_size_is_named(downloader: ResumingDownloader, server: Behaviour) -> None:
    server.files["a.zip"] = b"<html>log in</html>"
    message = fail(downloader, server)
    assert "sends 19 bytes, the catalogue says 1000000" in message
    assert "login page" in message
    assert not downloader.partial.path.exists()


@pytest.mark.parametrize("content", [b"<html>log in</html>", OTHER + b"more"])
def test_another_file_of_unsaid_size_loses_nothing(
    downloader: ResumingDownloader, server: Behaviour, content: bytes
) -> None:
    held = stop_halfway(downloader, server)
    server.files["a.zip"], server.ranges, server.sized = content, False, False
    server.etags = server.dates = False
    assert f"{held / 1000:.3g}"[:2] in fail(downloader, server)
    assert downloader.partial.held() == held
    server.files["a.zip"], server.ranges, server.etags = CONTENT, True, True
    server.requests.clear()
    assert get(downloader, server) == CONTENT
    assert server.requests == [f"bytes={held}-"]
    assert sorted(path.name for path in downloader.partial.path.parent.iterdir()) == [
        *("a.zip.part", "a.zip.part.json", "out")
    ]


def test_a_file_that_never_ends_is_stopped(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    server.files["a.zip"], server.sized = OTHER + CONTENT, False
    assert "sends more bytes" in fail(downloader, server)
    assert downloader.partial.held() == 0
    assert len(server.requests) == 1


def test_a_cut_answer_without_a_length_is_continued(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    server.sized = False
    server.cuts = [HALF]
    assert get(downloader, server) == CONTENT
    assert server.requests == [None, f"bytes={HALF}-"]


def test_a_new_start_that_is_cut_gives_way_to_what_was_held(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    held = stop_halfway(downloader, server)
    server.ranges = False
    server.cuts = [1000] * 3
    fail(downloader, server)
    assert downloader.partial.held() == held
    server.ranges = True
    server.requests.clear()
    assert get(downloader, server) == CONTENT
    assert server.requests == [f"bytes={held}-"]


@pytest.mark.parametrize("note", ["", "[1, 2]", '["http://elsewhere/a.zip", "x", "y", 1000000]'])
def test_a_partial_file_of_unknown_origin_is_not_continued(
    downloader: ResumingDownloader, server: Behaviour, note: str
) -> None:
    downloader.partial.path.write_bytes(OTHER[:1000])
    downloader.partial.path.with_name("a.zip.part.json").write_text(note)
    assert get(downloader, server) == CONTENT
    assert server.requests == [None]


def test_a_partial_file_longer_than_the_whole(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    stop_halfway(downloader, server)
    downloader.partial.path.write_bytes(CONTENT + b"x")
    assert get(downloader, server) == CONTENT


def test_all_bytes_are_there_already(downloader: ResumingDownloader, server: Behaviour) -> None:
    """As after Ctrl-C while the checksum was computed."""
    get(downloader, server)
    server.requests.clear()
    assert get(downloader, server) == CONTENT
    assert server.requests == []


def test_a_busy_server_is_asked_again(downloader: ResumingDownloader, server: Behaviour) -> None:
    server.statuses = [503, 429]
    assert get(downloader, server) == CONTENT


def test_a_missing_file_is_not_asked_for_again(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    server.files.clear()
    assert "the server answers 404" in fail(downloader, server)
    assert len(server.requests) == 1


def test_without_a_length_too(downloader: ResumingDownloader, server: Behaviour) -> None:
    server.sized = False
    assert get(downloader, server) == CONTENT


def test_a_server_that_cannot_be_reached(downloader: ResumingDownloader) -> None:
    with pytest.raises(UserError, match="cannot be reached") as caught:
        # Port 9 (discard) of this machine: nobody listens.
        downloader("http://127.0.0.1:9/a.zip", "out", None)
    assert f"is taken as {downloader.partial.path.parent / 'a.zip'}" in str(caught.value)


def test_the_length_counts_for_the_disk(
    downloader: ResumingDownloader, server: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def require_space(folder: Path, need: int, purpose: str) -> None:
        asked.append(need)

    monkeypatch.setattr(resume, "require_space", require_space)
    downloader.reserve = 7
    held = stop_halfway(downloader, server)
    get(downloader, server)
    assert asked == [len(CONTENT) + 7, len(CONTENT) - held + 7]


def test_a_full_disk_keeps_what_has_come(
    downloader: ResumingDownloader, server: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(bar: object, n: float | None = 1) -> None:
        raise OSError(28, os.strerror(28))

    held = stop_halfway(downloader, server)
    with monkeypatch.context() as patch:
        patch.setattr(resume.tqdm, "update", full)
        assert "No space left on device" in fail(downloader, server)
    assert downloader.partial.held() >= held
    assert get(downloader, server) == CONTENT


def test_the_note_holds_what_the_server_said(
    downloader: ResumingDownloader, server: Behaviour
) -> None:
    get(downloader, server)
    note = json.loads(downloader.partial.path.with_name("a.zip.part.json").read_text())
    url, etag, _ = note
    assert (url, etag) == (f"{server.url}/a.zip", server.tag(CONTENT))


def test_a_disk_without_hard_links(
    downloader: ResumingDownloader, server: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert get(downloader, server) == CONTENT
