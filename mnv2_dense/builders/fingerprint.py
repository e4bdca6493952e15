"""What tells one data set from another without reading its pictures."""

import hashlib

from mnv2_dense.builders import Index
from mnv2_dense.detection.index import DetectionIndex
from mnv2_dense.segmentation.index import SegmentationIndex


def fingerprint(index: Index) -> str:
    """A digest of the pictures' names and of the ground truth, wherever the data lie.

    Of a detector: file names, ids, sizes, boxes and labels. Of a segmenter: names and file sizes
    of pictures and masks. Both: classes, order, and whether pictures are turned upright.
    """
    digest = hashlib.sha256(repr((index.categories, index.upright)).encode())
    if isinstance(index, DetectionIndex):
        _add_boxes(digest, index)
    else:
        _add_masks(digest, index)
    return digest.hexdigest()


def _add_boxes(digest: "hashlib._Hash", index: DetectionIndex) -> None:
    texts = index.file_names
    flat = (index.image_ids, index.sizes, index.boxes, index.labels, index.box_offsets)
    for tensor in (*flat, texts.characters, texts.offsets):
        digest.update(tensor.numpy().tobytes())


def _add_masks(digest: "hashlib._Hash", index: SegmentationIndex) -> None:
    digest.update(repr(index.rule).encode())
    for position in range(len(index)):
        files = index.path(position), index.mask_path(position)
        sizes = [file.stat().st_size if file.exists() else None for file in files]
        entry = index.image_id(position), [file.name for file in files], sizes
        digest.update(repr(entry).encode())
