"""Label maps of the built-in data set: the class of every pixel, as palette PNG files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.drawing import encode_label_map
from mnv2_dense.shapes.outlines import SHAPE_CLASSES
from mnv2_dense.shapes.scene import Scene

FOLDER = "label_maps"
"""Folder of the data set that holds one folder of label maps per split."""
LABEL_NAMES = ("background", *(shape.name for shape in SHAPE_CLASSES))
"""Class names by value of a label map: background, then the categories in their order."""
VOID = 255
"""`structures.IGNORE_INDEX`, written out because importing it would load torch to draw pictures."""
_VALUES = {shape.category_id: value for value, shape in enumerate(SHAPE_CLASSES, start=1)}


def draw_label_map(scene: Scene) -> NDArray[np.uint8]:
    """Label map [H, W]: an index into `LABEL_NAMES`, or `VOID`, for every pixel.

    A pixel has the class of the object that is seen there, so it agrees with the COCO masks.
    Crowds are void: their members are a few pixels each and partly hide one another, so a
    crowd says what is about and not where it ends.
    """
    values = [VOID if item.crowd else _VALUES[item.shape.category_id] for item in scene.objects]
    return np.array([0, *values], dtype=np.uint8)[scene.instances]


def write_label_map(path: Path, scene: Scene) -> None:
    """Writes the label map as a PNG of palette indices in VOC's colours."""
    encode_label_map(draw_label_map(scene)).save(path, format="PNG")
