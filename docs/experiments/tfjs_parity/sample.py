"""Samples TensorFlow.js's outputs into the small file that the tests compare with.

python docs/experiments/tfjs_parity/sample.py FOLDER tests/importing/tfjs_outputs.json BACKEND

Values have seven digits, and stand at the same flat indices for both pictures. `checks` holds sums
by which a test can tell that it regenerated the values and pictures of fill.py, and not others.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

OUTPUTS = ("preprocessed", "anchors", "box_deltas", "class_logits", "decoded_boxes")
COUNT = 200
FIRST_ROWS = (0, 1083, 1683, 1833, 1887, 1911, 1917)
"""The first anchor of each level, and their number."""


def choose(shape: list[int], position: int) -> list[int]:
    """Sorted flat indices into a tensor, the same in every run; every level gets its share."""
    draw, where = np.random.default_rng([0, position]).random((2, COUNT))
    rows = 1
    if shape[1] == FIRST_ROWS[-1]:
        rows = shape[1]
        level = np.arange(COUNT) % (len(FIRST_ROWS) - 1)
        first, last = np.array(FIRST_ROWS)[[level, level + 1]]
        draw = first + draw * (last - first)
    row_size = int(np.prod(shape)) // rows
    flat = np.floor(draw) * row_size + np.floor(where * row_size) if rows > 1 else draw * row_size
    return np.unique(flat.astype(np.int64)).tolist()


def sample(folder: Path, entry: dict[str, Any], indices: list[int]) -> dict[str, Any]:
    """Shape, largest absolute value and sampled values of one tensor."""
    values = np.fromfile(folder / entry["file"], "<f4")
    return {
        "shape": entry["shape"],
        "max_abs": _short(np.abs(values).max()),
        "values": [_short(value) for value in values[indices]],
    }


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def make_checks(folder: Path, pictures: list[str]) -> dict[str, Any]:
    """The sum of all absolute float values, and of the bytes of each picture."""
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        floats = [value for value in archive.values() if value.dtype == np.float32]
    sums = {name: int(np.fromfile(folder / f"{name}.raw", np.uint8).sum()) for name in pictures}
    total = sum(float(np.abs(value).sum(dtype=np.float64)) for value in floats)
    return {"sum_abs_values": _short(total), "sum_pictures": sums}


def main() -> None:
    """Writes the file."""
    folder, out = map(Path, sys.argv[1:3])
    results = folder / sys.argv[3]
    record = json.loads((results / "outputs.json").read_text())
    pictures = record["pictures"]
    shapes = {name: next(iter(pictures.values()))[name]["shape"] for name in OUTPUTS}
    indices = {name: choose(shapes[name], place) for place, name in enumerate(OUTPUTS)}
    content = {
        "source": "docs/experiments/tfjs_parity",
        "seed": record["seed"],
        "versions": record["versions"],
        "checks": make_checks(folder, list(pictures)),
        "nodes": {name: record["nodes"][name] for name in OUTPUTS},
        "indices": indices,
        "pictures": {
            picture: {name: sample(results, found[name], indices[name]) for name in OUTPUTS}
            for picture, found in pictures.items()
        },
    }
    text = json.dumps(content, indent=1)
    # A list to a line.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match.group().split()), text)
    out.write_text(text + "\n")
    print(f"{len(pictures)} pictures, {len(OUTPUTS)} tensors -> {out}")


if __name__ == "__main__":
    main()
