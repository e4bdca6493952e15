"""The built-in data set: textured shapes on clutter, in COCO's own layout and as label maps."""

from mnv2_dense.shapes.dataset import generate
from mnv2_dense.shapes.label_maps import LABEL_NAMES

__all__ = ["LABEL_NAMES", "generate"]
