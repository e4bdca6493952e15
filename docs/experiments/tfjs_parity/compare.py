"""Compares TensorFlow.js's outputs of the filled graph with ours of the imported checkpoint.

python docs/experiments/tfjs_parity/compare.py FOLDER CHECKPOINT BACKEND [KEY=VALUE ...]

FOLDER is what fill.py and run.mjs wrote, CHECKPOINT what tools/import_weights.py made of the graph
in it. Keys of the config can be changed, to see that this is noticed. Ends with 1 if a tensor
differs by more than 1e-4 of its largest value (anchors, which nothing is added up for: 1e-6).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from mnv2_dense.builders import Task
from mnv2_dense.builders.detection import input_size
from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.config.schema import Config
from mnv2_dense.detection.coding import decode_boxes
from mnv2_dense.detection.transforms import EvalTransform
from mnv2_dense.ops.boxes import center_to_corner

LIMIT = 1e-4
LIMITS = {"anchors": 1e-6}
"""Where another limit holds; 1e-4 would take a ratio of 1/3 for the release's 0.3333."""
Y_FIRST = [1, 0, 3, 2]
"""Turns (x, y, x, y) and (tx, ty, tw, th) into TensorFlow's order."""


def run_ours(task: Task, config: Config, picture: np.ndarray) -> dict[str, np.ndarray]:
    """What tools/predict.py computes of a picture [H, W, 3], in TensorFlow's conventions."""
    transform = EvalTransform(input_size(config), config.input.resize)
    resized = transform(picture, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))[0]
    images = torch.from_numpy(resized).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        outputs = task.eval()(images)
        anchors = outputs.anchors[None]
        found = {
            "preprocessed": task.normalize(images).permute(0, 2, 3, 1),
            "anchors": center_to_corner(anchors)[..., Y_FIRST],
            "box_deltas": outputs.box_deltas[..., Y_FIRST],
            "class_logits": outputs.class_logits,
            "scores": outputs.class_logits.sigmoid(),
            "decoded_boxes": center_to_corner(decode_boxes(outputs.box_deltas, anchors))[
                ..., Y_FIRST
            ],
        }
    return {name: tensor.numpy() for name, tensor in found.items()}


def read_theirs(folder: Path, record: dict, columns: list[int]) -> dict[str, np.ndarray]:
    """TensorFlow.js's tensors of a picture; of the class columns those that we have."""
    found = {
        name: np.fromfile(folder / entry["file"], "<f4").reshape(entry["shape"])
        for name, entry in record.items()
    }
    for name in ("class_logits", "scores"):
        found[name] = found[name][..., columns]
    found["decoded_boxes"] = found["decoded_boxes"].squeeze(2)
    return found


def report(name: str, ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Prints one line; whether the tensors agree.

    The last figure is the largest difference relative to the value itself, over those values that
    are not below 1 % of the largest.
    """
    if ours.shape != theirs.shape:
        print(f"| {name} | shape {ours.shape}, not {theirs.shape} | | | |")
        return False
    difference = np.abs(ours.astype(np.float64) - theirs)
    size = np.abs(theirs)
    largest = size.max()
    notable = size > 0.01 * largest
    single = (difference[notable] / size[notable]).max()
    relative = difference.max() / largest
    figures = f"{largest:.4g} | {difference.max():.2g} | {relative:.2g} | {single:.2g}"
    print(f"| {name} | {figures} |")
    return bool(relative <= LIMITS.get(name, LIMIT))  # NaN is no agreement


def main() -> None:
    """Prints a table for each picture."""
    folder, checkpoint = map(Path, sys.argv[1:3])
    results = folder / sys.argv[3]
    config, categories, task = open_checkpoint(checkpoint, sys.argv[4:])
    columns = [0, *(category.category_id for category in categories)]
    record = json.loads((results / "outputs.json").read_text())
    shapes = json.loads((folder / "pictures.json").read_text())["shapes"]
    agreed = True
    for name, shape in shapes.items():
        picture = np.fromfile(folder / f"{name}.raw", np.uint8).reshape(shape)
        ours = run_ours(task, config, picture)
        theirs = read_theirs(results, record["pictures"][name], columns)
        print(f"\n{name}, {shape[0]}x{shape[1]}, {results.name}\n")
        print("| tensor | largest value | largest difference | / largest value | / own value |")
        print("|---|---|---|---|---|")
        lines = [report(each, ours[each], theirs[each]) for each in ours]
        agreed &= all(lines)
    print("\nagree" if agreed else "\nDIFFER")
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
