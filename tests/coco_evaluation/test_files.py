import gc
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from mnv2_dense.coco_evaluation import (
    evaluate,
    evaluate_files,
    files,
    read_ground_truth,
    read_results,
    records_of,
    results_of,
    write_results,
)
from mnv2_dense.errors import UserError
from tests.coco_evaluation.test_evaluation import HIT, TRUTH

ENTRIES = [{**HIT, "score": n / 64, "bbox": [0.1, 0, n, 2]} for n in range(50)]


def write(path: Path, content: Any, **options: Any) -> Path:
    path.write_text(json.dumps(content, **options))
    return path


@pytest.mark.parametrize("piece", [1, 100, 1000, 1 << 22])
@pytest.mark.parametrize("indent", [None, 2])
def test_results_are_read_piece_by_piece(tmp_path: Path, piece: int, indent: int | None) -> None:
    path = write(tmp_path / "results.json", ENTRIES, indent=indent)
    with patch.object(files, "PIECE", piece), patch.object(files, "_whole_results", None):
        assert records_of(read_results(path)) == ENTRIES
        assert records_of(read_results(write(path, []))) == []
    assert gc.isenabled()


@pytest.mark.parametrize("piece", [1, 64, 1 << 22])
def test_entries_that_hold_objects_or_look_like_cuts(tmp_path: Path, piece: int) -> None:
    more = {"segmentation": {"size": [1, 2], "counts": "}, {"}, "note": {"a": {"b": 1}}}
    path = write(tmp_path / "results.json", [{**more, **entry} for entry in ENTRIES])
    with patch.object(files, "PIECE", piece):
        assert records_of(read_results(path)) == ENTRIES


@pytest.mark.parametrize("piece", [1, 64, 1 << 22])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ("[", "is no JSON"),
        ('{"a": [{}, {}, {}]}', "no JSON list of COCO results"),
        ("[{}, 1]", "no JSON list of COCO results"),
        ("[{}, {}]", "position 0 has no usable 'image_id'"),
        (json.dumps(ENTRIES) + "]", "is no JSON: Extra data"),
        (json.dumps(ENTRIES)[:-1] + ",,{}]", "is no JSON"),
        (json.dumps(ENTRIES)[:-1] + ",]", "is no JSON"),
        (json.dumps(ENTRIES)[:-1] + ", ]\n", "is no JSON"),
        (json.dumps(ENTRIES)[:-1] + "], [{}]", "is no JSON: Extra data"),
        ("[" * 100_000, "is no JSON"),
        ('["\xff"]', "is no JSON"),
    ],
)
def test_what_is_no_results_file_is_named(
    tmp_path: Path, text: str, message: str, piece: int
) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(text.encode("latin-1"))
    with patch.object(files, "PIECE", piece), pytest.raises(UserError, match=message) as caught:
        read_results(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the results file .*none\.json"):
        read_results(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"cannot read the annotation file .*: Is a directory"):
        read_ground_truth(tmp_path)


def test_what_is_written_is_json_of_the_records(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    entries = [
        {**HIT, "bbox": box, "score": score}
        for box, score in zip(
            random.random((40, 4)).tolist(), random.random(40).tolist(), strict=True
        )
    ]
    path = tmp_path / "results.json"
    with patch.object(files, "ROWS", 7):
        write_results(results_of(entries), path)
    assert path.read_text() == json.dumps(entries) + "\n"
    assert records_of(read_results(path)) == entries
    write_results(results_of([]), path)
    assert path.read_text() == "[]\n"
    with pytest.raises(UserError, match="finite"):
        write_results(results_of([{**HIT, "score": float("nan")}]), path)


def test_files_give_the_scores_of_their_content(tmp_path: Path) -> None:
    paths = write(tmp_path / "truth.json", TRUTH), write(tmp_path / "results.json", [HIT])
    assert evaluate_files(*paths).summary == evaluate(TRUTH, [HIT]).summary
    assert evaluate_files(*map(str, paths), image_ids=[1]).summary["mAP"] == pytest.approx(1)
