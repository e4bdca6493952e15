"""The built-in data set: textured shapes on cluttered backgrounds, in COCO's own layout."""

from mnv2_dense.shapes.dataset import generate

__all__ = ["generate"]
