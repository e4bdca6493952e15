"""Objects and detections with errors of every kind."""

from typing import Any

import numpy as np

Scene = tuple[dict[str, Any], list[dict[str, Any]]]


def random_scene(seed: int) -> Scene:
    """A few images and classes, some crowds, no equal scores: an instances file and results."""
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(1, 9)), int(random.integers(1, 6))
    number = int(random.integers(1, 40))
    corners, sides = random.uniform(0, 60, (number, 2)), random.uniform(5, 60, (number, 2))
    boxes = np.concatenate([corners, sides], axis=1)
    where, labels = random.integers(0, images, number), random.integers(0, classes, number)
    crowds = random.random(number) < random.choice([0, 0.15])
    # Up to 900: more than the 100 of an image that count.
    count = int(random.choice([1, 20, 100, 900], p=[0.1, 0.4, 0.4, 0.1]))
    source = random.integers(0, number, count)
    found = boxes[source] + random.normal(0, 1, (count, 4)) * random.choice(
        [0, 1, 8, 30], (count, 1)
    )
    found[:, 2:] = found[:, 2:].clip(1)
    confused = random.random(count) < 0.25
    named = np.where(confused, random.integers(0, classes, count), labels[source])
    scores = random.permutation(count) / count
    truth = {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": number, "name": f"class {number}"} for number in range(classes)],
        "annotations": [
            {"image_id": image, "category_id": label, "bbox": box, "iscrowd": crowd}
            for image, label, box, crowd in zip(
                *(column.tolist() for column in (where, labels, boxes, crowds.astype(int))),
                strict=True,
            )
        ],
    }
    results = [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, label, box, score in zip(
            *(column.tolist() for column in (where[source], named, found, scores)), strict=True
        )
    ]
    return truth, results
