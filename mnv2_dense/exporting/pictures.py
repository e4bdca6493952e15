"""Pictures as a network is given them, to verify and to calibrate exported files with."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2_dense.errors import UserError
from mnv2_dense.image_files import find_images
from mnv2_dense.images import read_image
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.preparing import prepare_picture, resize_picture
from mnv2_dense.shapes.scene import draw_scene
from mnv2_dense.structures import ImageSize

_log = logging.getLogger(__name__)
_SCENE_SIDE = 160
"""Of the scenes that are drawn and then enlarged, in pixels."""


def read_pictures(folder: Path, manifest: Manifest, most: int) -> NDArray[np.uint8]:
    """Pictures [N, H, W, 3] of a folder, of many `most` spread evenly over it.

    Those that cannot be read are named in log lines, and passed over.

    Raises:
        UserError: There are none, or none can be read.
    """
    found = find_images(folder)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    pictures = []
    for path in (found[i] for i in chosen):
        try:
            pictures.append(prepare_picture(read_image(path, upright=True), manifest))
        except UserError as error:
            _log.warning("passed over: %s", error)
    if not pictures:
        raise UserError(f"{folder}: none of its pictures can be read")
    return np.stack(pictures)


def draw_pictures(manifest: Manifest, count: int) -> NDArray[np.uint8]:
    """Pictures [N, H, W, 3] of textured shapes, always the same."""
    height, width = manifest.input_size
    scenes = (draw_scene((0, number), _SCENE_SIDE).picture for number in range(count))
    return np.stack(
        [resize_picture(scene, ImageSize(height, width), "bilinear") for scene in scenes]
    )
