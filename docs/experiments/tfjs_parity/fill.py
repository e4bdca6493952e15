"""Gives the released SSDLite graph seeded values, and makes two pictures for it.

python docs/experiments/tfjs_parity/fill.py MODEL.json --out FOLDER [--seed 0]

MODEL.json is the release converted for TensorFlow.js: nodes, names and shapes, no values. FOLDER
gets model.json with weights.bin for TensorFlow.js, weights.npz with the same values, and the
pictures as raw bytes (pictures.json has their shapes).

What is learned is random; what defines the computation (anchors, box coder, input scaling, shapes
and axes) has the release's values, stated here without mnv2_dense.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4")}

CELLS = (19, 10, 5, 3, 2, 1)
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
COUNTS = (3, 6, 6, 6, 6, 6)

DECODE = "Postprocessor/Decode/"

CONSTANTS: dict[str, Any] = {
    "Preprocessor/mul/x": 2 / 255,
    "Preprocessor/sub/y": 1.0,
    "Preprocessor/map/while/ResizeImage/stack": [300, 300],
    "Preprocessor/map/while/ResizeImage/ExpandDims/dim": 0,
    "Preprocessor/map/while/add/y": 1,
    "Preprocessor/map/TensorArrayStack/range/start": 0,
    "MultipleGridAnchorGenerator/assert_equal/x": 1917,
    "BoxPredictor_0/stack/3": 4,
    "BoxPredictor_0/stack_1/2": 91,
    **{
        f"BoxPredictor_{level}/stack/1": cells * cells * count
        for level, (cells, count) in enumerate(zip(CELLS, COUNTS, strict=True))
    },
    "Postprocessor/Reshape_1/shape": [-1, 4],
    "Postprocessor/strided_slice/stack": [0],
    "Postprocessor/strided_slice/stack_1": [1],
    "Postprocessor/Tile/multiples/1": 1,
    "Postprocessor/ExpandDims_1/dim": 2,
    "Postprocessor/Slice/begin": [0, 0, 1],
    "Postprocessor/Slice/size": [-1, -1, -1],
    f"{DECODE}transpose/sub_1": [1, 0],
    f"{DECODE}transpose_1/sub_1": [1, 0],
    f"{DECODE}get_center_coordinates_and_sizes/transpose/sub_1": [1, 0],
    f"ConstantFolding/{DECODE}div_recip": 1 / 10,
    f"ConstantFolding/{DECODE}div_2_recip": 1 / 5,
    f"ConstantFolding/{DECODE}div_4_recip": 1 / 2,
}
"""What is not learned, but the anchors `Postprocessor/ExpandDims`."""

RANGES = {
    "batchnorm/mul": (0.8, 1.2),
    "batchnorm/sub": (-0.2, 0.6),
    "BatchNorm/gamma": (0.8, 1.2),
    "BatchNorm/beta": (-0.2, 0.6),
    "BatchNorm/moving_mean": (-0.2, 0.2),
    "BatchNorm/moving_variance": (0.5, 2.0),
    "biases": (-0.5, 0.5),
}
"""Bounds of a uniform draw by the end of the name."""

GAINS = {
    "depthwise_weights": 1.4,
    "BoxEncodingPredictor/weights": 1.5,
    "ClassPredictor/weights": 1.5,
    "V2/Conv/Conv2D/merged_input": 2.5,
    "project/Conv2D/merged_input": 0.7,
    "merged_input": 1.6,
}
"""Standard deviation of a convolution's weight, times the root of its inputs, by name's end."""

PICTURES = {"square": (300, 300), "oblong": (333, 217)}
"""Heights and widths."""


def make_anchors() -> np.ndarray:
    """The release's anchors [1917, 4] at 300x300, as ymin, xmin, ymax, xmax."""
    return np.array(list(_anchors()))


def _anchors() -> Iterator[tuple[float, float, float, float]]:
    for level, cells in enumerate(CELLS):
        shapes = [(SCALES[level], ratio) for ratio in RATIOS]
        shapes += [((SCALES[level] * SCALES[level + 1]) ** 0.5, 1.0)]
        if level == 0:
            shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
        for row in range(cells):
            for column in range(cells):
                y, x = (row + 0.5) / cells, (column + 0.5) / cells
                for scale, ratio in shapes:
                    height, width = scale / ratio**0.5, scale * ratio**0.5
                    yield y - height / 2, x - width / 2, y + height / 2, x + width / 2


def make_values(manifest: Sequence[Mapping[str, Any]], seed: int) -> dict[str, np.ndarray]:
    """Values by name, for the `weightsManifest` of a model.json and in its order."""
    values: dict[str, np.ndarray] = {}
    weights = [weight for group in manifest for weight in group["weights"]]
    for position, weight in enumerate(weights):
        name, shape = weight["name"], tuple(weight["shape"])
        if name == "Postprocessor/ExpandDims":
            value = make_anchors()[None]
        elif name in CONSTANTS:
            value = np.array(CONSTANTS[name])
        else:
            value = _draw(name, shape, np.random.default_rng([seed, position]))
        if value.shape != shape:
            raise ValueError(f"{name}: {value.shape}, but the graph wants {shape}")
        values[name] = np.ascontiguousarray(value, DTYPES[weight["dtype"]])
    return values


def _draw(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Random values, all uniform: a normal draw is not promised to stay the same in numpy."""
    draw = generator.random(shape)
    for ending, (low, high) in RANGES.items():
        if name.endswith(ending):
            return low + (high - low) * draw
    gain = next(gain for ending, gain in GAINS.items() if name.endswith(ending))
    if name.endswith("depthwise_weights"):
        return (draw - 0.5) * gain * (12 / 9) ** 0.5
    # Activations are positive. Without their mean, what differs from place to place survives
    # sixty layers, and a shift by one cell cannot hide.
    draw -= draw.mean(axis=(0, 1, 2))
    return draw * gain * (12 / np.prod(shape[:3])) ** 0.5


def make_pictures(seed: int) -> dict[str, np.ndarray]:
    """Two uint8 RGB pictures [H, W, 3]: blocks of random colours under noise."""
    pictures = {}
    for position, (name, (height, width)) in enumerate(PICTURES.items()):
        generator = np.random.default_rng([seed, 1000 + position])
        blocks = generator.random((height // 20 + 1, width // 20 + 1, 3))
        large = blocks.repeat(20, axis=0).repeat(20, axis=1)[:height, :width]
        mixed = 0.7 * large + 0.3 * generator.random((height, width, 3))
        pictures[name] = np.floor(mixed * 256).astype(np.uint8)
    return pictures


def main() -> None:
    """Writes the filled model and the pictures."""
    parser = argparse.ArgumentParser(description="see the top of this file")
    parser.add_argument("model", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    model = json.loads(arguments.model.read_text())
    values = make_values(model["weightsManifest"], arguments.seed)
    check_integers(model, values)
    weights = [weight for group in model["weightsManifest"] for weight in group["weights"]]
    model["weightsManifest"] = [{"paths": ["weights.bin"], "weights": weights}]
    (out / "model.json").write_text(json.dumps(model))
    (out / "weights.bin").write_bytes(b"".join(value.tobytes() for value in values.values()))
    # A name with a slash would be a folder inside the archive; numpy reads it back all the same.
    np.savez(out / "weights.npz", **values)
    pictures = make_pictures(arguments.seed)
    for name, picture in pictures.items():
        (out / f"{name}.raw").write_bytes(picture.tobytes())
    shapes = {name: picture.shape for name, picture in pictures.items()}
    (out / "pictures.json").write_text(json.dumps({"seed": arguments.seed, "shapes": shapes}))
    count = sum(value.size for value in values.values())
    print(f"{len(values)} tensors, {count:,} values, {len(pictures)} pictures -> {out}")


def check_integers(model: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> None:
    """Refuses integers other than the few that the graph itself still states."""
    for node in model["modelTopology"]["node"]:
        stated = node["attr"]["value"]["tensor"]["intVal"] if node["op"] == "Const" else []
        if stated and stated != values[node["name"]].ravel().tolist():
            raise ValueError(
                f"{node['name']} is {stated} in the graph, {values[node['name']]} here"
            )


if __name__ == "__main__":
    main()
