"""How often a classifier and its .tflite file name the same class, and the file by two kernels.

python docs/experiments/parity/top1.py FILE.tflite CHECKPOINT FOLDER ...
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mnv2_dense.builders.opening import read_card
from mnv2_dense.commands.classify import ImageClassifier, open_classifier_checkpoint, parse_stored
from mnv2_dense.image_files import find_images
from mnv2_dense.images import read_image
from mnv2_dense.ops.checkpoint_file import read_checkpoint
from mnv2_dense.parity.runtime import Runtime


def best(scores: np.ndarray) -> set[int]:
    """The classes of the highest score; a file's rounded scores may have several."""
    return {int(label) for label in np.flatnonzero(scores == scores.max())}


def count(classifier: ImageClassifier, runtimes: list[Runtime], folder: Path) -> list[int]:
    """Pictures, and those alike: ours and the first runtime, ours and the second, the two."""
    counts = [0, 0, 0, 0]
    for path in find_images(folder):
        picture = Image.fromarray(read_image(path, upright=True))
        prepared = classifier.transform(picture)
        with torch.inference_mode():
            ours = best(classifier.network(prepared.unsqueeze(0))[0].numpy())
        theirs = []
        for runtime in runtimes:
            runtime.feed(prepared.permute(1, 2, 0).numpy())
            theirs.append(best(runtime.tensor(runtime.graph.outputs[0]).ravel()))
        first, second = theirs
        alike = (True, bool(ours & first), bool(ours & second), bool(first & second))
        counts = [before + each for before, each in zip(counts, alike, strict=True)]
    return counts


def main() -> None:
    """Reads the command line and prints a line per folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    content = read_checkpoint(options.checkpoint)
    classifier = open_classifier_checkpoint(content, options.checkpoint)
    given = parse_stored(
        read_card(content, options.checkpoint, classifier=True)[0], [], str(options.checkpoint)
    ).input
    # Every tensor kept: the plain kernels; otherwise those that the runtime takes by itself.
    runtimes = [
        Runtime(options.source, given.mean, given.std, threads=1, every_tensor=plain)
        for plain in (True, False)
    ]
    print("folder: pictures, ours = plain kernels, ours = default kernels, plain = default")
    for folder in options.folders:
        print(f"{folder}: {', '.join(map(str, count(classifier, runtimes, folder)))}", flush=True)


if __name__ == "__main__":
    main()
