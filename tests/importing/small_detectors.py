"""A small SSDLite's graph, to be changed, and what its import says."""

import functools
from typing import Any

from mnv2_dense.structures import ImageSize
from tests.importing.detector_networks import ssdlite_graph
from tests.importing.graph_builder import new_message
from tests.importing.random_networks import detector, import_message

SIZE, CELLS = ImageSize(96, 96), (6, 3, 2, 1, 1, 1)
SLOTS = 4
"""Class columns: background's and three more."""


@functools.cache
def network() -> Any:
    backbone = {"width_mult": 0.35, "last_channels": 64}
    return detector(SLOTS - 1, backbone, head={"extra_channels": (32, 24, 24, 16)})


@functools.cache
def _bytes(scores: bool) -> bytes:
    return ssdlite_graph(network(), SIZE, scores=scores).SerializeToString()


def message_of(*, scores: bool = True) -> Any:
    """The graph; without `scores` it has neither scores nor decoded boxes."""
    message = new_message()
    message.ParseFromString(_bytes(scores))
    return message


def notes_of(message: Any) -> str:
    return "; ".join(import_message(message).notes)
