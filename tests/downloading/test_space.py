from pathlib import Path

import pytest

from mnv2_dense.downloading.space import require_space, show_bytes
from mnv2_dense.errors import UserError


def test_too_little_is_named_with_need_and_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"for b\.zip: 1\.00 EB needed, \S+ .B free"):
        require_space(tmp_path, 10**18, "b.zip")


def test_enough(tmp_path: Path) -> None:
    require_space(tmp_path, 1, "b.zip")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.00 B"), (1234, "1.23 kB"), (815_585_330, "816 MB"), (19_336_861_798, "19.3 GB")],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert show_bytes(count) == text
