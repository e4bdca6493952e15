"""Configs of the networks that are measured."""

from typing import Any

DETECTED = 90
"""Classes of detectors, as torchvision counts COCO's."""
DETECTOR: dict[str, Any] = {
    "task": "detection",
    "name": "ssdlite_320",
    "data": {"root": "none", "num_classes": DETECTED},
    "input": {"height": 320, "width": 320},
}
SEGMENTER: dict[str, Any] = {
    "task": "segmentation",
    "name": "deeplabv3_513",
    "data": {
        "root": "none",
        "train_images": "train",
        "train_masks": "train_masks",
        "val_images": "val",
        "val_masks": "val_masks",
        "classes": [f"class {number}" for number in range(21)],
    },
    "input": {"height": 513, "width": 513},
    "backbone": {"output_stride": 16},
    "head": {"aspp": "none"},
    # One run of the network, as the peers: not a window per 513 pixels.
    "evaluation": {"large_pictures": "shrink"},
}
"""The paper's light head, of Table 7."""
SETTINGS = {"detection": DETECTOR, "segmentation": SEGMENTER}
"""By task."""
