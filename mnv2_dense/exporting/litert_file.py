"""Deployed networks as LiteRT (TFLite) files: pictures in, final boxes or label maps out."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from mnv2_dense.errors import UserError
from mnv2_dense.exporting.litert_graph import LiteRtGraph
from mnv2_dense.exporting.litert_network import LiteRtDetector, LiteRtSegmenter
from mnv2_dense.exporting.litert_nms import add_nms
from mnv2_dense.prediction.engine import IMAGES
from mnv2_dense.prediction.litert_engine import quiet_runtime
from mnv2_dense.prediction.manifest import KEY, Manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector
from mnv2_dense.training.durable import replace_durably


def write(deployed: Deployed, manifest: Manifest, path: Path) -> None:
    """Writes the network, its decoding and its manifest, for one picture of the input's size.

    A detector's NMS is TFLite_Detection_PostProcess, which takes one picture.

    Args:
        deployed: The network.
        manifest: Of a network for any batch or size; the file's own is for one picture of
            `input_size`.
        path: Where it goes.

    Raises:
        UserError: The decoding is not to be had in this format.
        OSError: It cannot be written.
    """
    check_decoding(manifest)
    manifest = replace(manifest, batch=1, dynamic_size=False)
    content = finish(convert(prepare(deployed, manifest), manifest), manifest)
    replace_durably(path, lambda file: file.write(content))


def prepare(deployed: Deployed, manifest: Manifest) -> nn.Module:
    """The network in the form that is converted; `deployed` is left as it is."""
    deployed, decoding = deepcopy(deployed), manifest.decoding
    if not isinstance(deployed, DeployedDetector):
        return LiteRtSegmenter(deployed, align_corners=decoding["align_corners"]).eval()
    clip = decoding["nms"] == "per_class"
    return LiteRtDetector(deployed, manifest.input_size, clip=clip).eval()


def convert(network: nn.Module, manifest: Manifest) -> bytes:
    """A .tflite file of the network alone, without NMS and manifest.

    Raises:
        UserError: The converter cannot write it.
    """
    images = torch.zeros(1, *manifest.input_size, 3, dtype=torch.uint8)
    with _quiet():
        import litert_torch

        litert_torch.config.show_progress = False
        try:
            return litert_torch.convert(network, sample_kwargs={IMAGES: images}).model_content()
        except Exception as error:  # Of a tracer, a compiler and what they are made of.
            raise UserError(
                "this network cannot be written as LiteRT: its converter does not know one of its "
                f"operations ({type(error).__name__})"
            ) from error


def finish(content: bytes, manifest: Manifest) -> bytes:
    """Adds NMS and the manifest to a converted file."""
    graph = LiteRtGraph(content)
    if manifest.task == "detection":
        add_nms(graph, manifest.decoding)
    graph.add_metadata(KEY, manifest.to_json().encode())
    return graph.to_bytes()


def check_decoding(manifest: Manifest) -> None:
    """Refuses what TFLite_Detection_PostProcess cannot do.

    Raises:
        UserError: The boxes of a class are limited more than all are.
    """
    decoding = manifest.decoding
    per_class = decoding.get("max_detections_per_class")
    if per_class is not None and per_class < decoding["max_detections"]:
        raise UserError(
            f"decode.max_detections_per_class={per_class} is not to be had in a .tflite file; "
            f"give null or at least decode.max_detections={decoding['max_detections']}, or "
            "another format"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converter's remarks from the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), quiet_runtime():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
