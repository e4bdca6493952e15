import json
from pathlib import Path
from typing import Any

import pytest

from mnv2_dense.caching.manifest import MANIFEST, TABLE, Manifest, find_cache, overrides
from mnv2_dense.errors import UserError

DATA = {"format": "voc", "colors": None, "train_images": "JPEGImages", "val_share": None}


def write(root: Path, content: Any) -> None:
    (root / TABLE).touch()
    (root / MANIFEST).write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_cache_is_found_and_other_folders_are_none(tmp_path: Path) -> None:
    assert find_cache(tmp_path) is None
    assert find_cache(tmp_path / "none") is None
    write(tmp_path, {"version": 1, "data": DATA})
    assert find_cache(tmp_path) == Manifest(tmp_path, DATA)


def test_an_unfinished_cache_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / TABLE).touch()
    with pytest.raises(UserError, match="not finished"):
        find_cache(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", {"version": 2, "data": DATA}, {"version": 1}, {"version": 1, "data": 3}]
)
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    write(tmp_path, content)
    with pytest.raises(UserError, match=r"cache\.json: not of a cache"):
        find_cache(tmp_path)


def test_the_original_of_a_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, expected = Path("masks", "masks", "a.png"), Path("originals", "masks", "a.png")
    for root in (Path("masks"), tmp_path / "masks"):
        cache = Manifest(root, DATA)
        assert cache.original(file) == cache.original(tmp_path / file) == expected
        with pytest.raises(UserError, match="all in the cache or none"):
            cache.original(tmp_path / "a.png")


def test_a_section_that_would_misread_the_cache_is_refused(tmp_path: Path) -> None:
    cache = Manifest(tmp_path, DATA)
    # Where files are, and which are for validation, is the user's choice.
    cache.check_section({**DATA, "train_images": "elsewhere", "val_share": 0.5, "batch_size": 3})
    with pytest.raises(UserError, match=r"with data\.format=voc data\.colors=null; give these"):
        cache.check_section({**DATA, "colors": [[0, 0, 0], [1, 1, 1]]})


def test_keys_as_command_lines_change_them() -> None:
    data = {"a": None, "b": "x/y", "c": "", "d": 3, "e": ["p", "q, ä"]}
    expected = ["data.a=null", "data.b=x/y", 'data.c=""', "data.d=3", 'data.e=["p", "q, ä"]']
    assert overrides(data) == expected
