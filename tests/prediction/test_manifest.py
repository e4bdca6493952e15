import json
from typing import Any

import pytest

from mnv2_dense.errors import UserError
from mnv2_dense.prediction.manifest import read_manifest
from tests.prediction.networks import manifest


def test_what_is_written_is_read() -> None:
    written = manifest("segmentation", batch=3)
    assert read_manifest(written.to_json(), "a.onnx") == written


@pytest.mark.parametrize(
    "change",
    [
        {"task": "pose"},
        {"categories": []},
        {"categories": [[1, "x" * 100_000]]},
        {"input_size": [10**6, 10**6]},
        {"input_size": [0, 5]},
        {"input_size": [float("inf"), 5]},
        {"input_size": [5]},
        {"resize": "x"},
        {"mean": [float("nan"), 0, 0]},
        {"std": [1, 2]},
        {"precision": 7},
        {"batch": -3},
        {"batch": "a"},
        {"batch": 10**9},
        {"batch": 4096, "input_size": [8192, 8192]},
        {"batch": None, "input_size": [16384, 16385]},
        {"batch": True},
        {"dynamic_size": "no"},
        {"decoding": {}},
        {"decoding": {"align_corners": "no", "large_pictures": "shrink", "window_overlap": 0}},
        {"decoding": {"align_corners": True, "large_pictures": "tile", "window_overlap": 0}},
        {"decoding": {"align_corners": True, "large_pictures": "window", "window_overlap": 5}},
        {"config": 3},
    ],
)
def test_a_stranger_says_nothing_else(change: dict[str, Any]) -> None:
    values = json.loads(manifest("segmentation").to_json())
    with pytest.raises(UserError, match=r"a\.onnx: what it says of itself is damaged"):
        read_manifest(json.dumps(values | change), "a.onnx")
    for key in change:
        del values[key]
    with pytest.raises(UserError, match=r"a\.onnx: what it says of itself is damaged"):
        read_manifest(json.dumps(values), "a.onnx")


def test_a_file_of_another_program() -> None:
    with pytest.raises(UserError, match="was not exported by mnv2_dense"):
        read_manifest(None, "a.onnx")
    with pytest.raises(UserError, match="damaged"):
        read_manifest(" " * (2**24 + 1), "a.onnx")
