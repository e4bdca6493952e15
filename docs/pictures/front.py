"""The picture on top of the README: built-in scenes, what was found in them, and their label maps.

front.py DETECTOR SEGMENTER --out PICTURE.png draws scenes of a seed that no training set has, and
shows them to the two networks: checkpoints or exported files.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import mnv2_dense
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.shapes.dataset import generate

SEED = 2026
"""Of the scenes; data sets are drawn with seed 0 by default."""
GAP = 6
SHOWN = 192
"""Side of a shown scene in pixels."""


def main() -> None:
    """Draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector")
    parser.add_argument("segmenter")
    parser.add_argument("--scenes", type=int, default=5)
    parser.add_argument("--size", type=int, default=96, help="side of a scene when it is drawn")
    parser.add_argument("--score-threshold", type=float, default=0.3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    networks = [mnv2_dense.load(path) for path in (options.detector, options.segmenter)]
    with TemporaryDirectory(prefix="front-") as name:
        root = Path(name) / "shapes"
        generate(root, train_images=1, val_images=options.scenes, size=options.size, seed=SEED)
        # Shown enlarged to the networks, too, so that what they draw is not enlarged.
        pictures = [_enlarge(path) for path in sorted((root / "val2017").glob("*.jpg"))]
    rows = [pictures, *(_draw(each, pictures, options.score_threshold) for each in networks)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_tile(rows)).save(options.out, optimize=True)


def _enlarge(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((SHOWN, SHOWN), Image.Resampling.BICUBIC))


def _draw(network: Predictor, pictures: list[np.ndarray], threshold: float) -> list[np.ndarray]:
    detects = network.manifest.task == "detection"
    choice = {"score_threshold": threshold} if detects else {}
    return [network.predict(picture, **choice).draw() for picture in pictures]


def _tile(rows: list[list[np.ndarray]]) -> np.ndarray:
    step = SHOWN + GAP
    canvas = np.full((len(rows) * step - GAP, len(rows[0]) * step - GAP, 3), 255, np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            top, left = row * step, column * step
            # Without the legend that stands beside a label map.
            canvas[top : top + SHOWN, left : left + SHOWN] = picture[:, :SHOWN]
    return canvas


if __name__ == "__main__":
    main()
