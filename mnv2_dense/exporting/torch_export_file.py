"""Deployed networks as torch.export's .pt2 files: pictures in, final boxes or label maps out."""

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mnv2_dense.errors import UserError
from mnv2_dense.exporting.torch_export_network import DecodedDetector, DecodedSegmenter
from mnv2_dense.prediction.manifest import KEY, Manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector
from mnv2_dense.prediction.torch_export_archive import UnsafeProgramError, check_archive
from mnv2_dense.training.durable import replace_durably


def write(deployed: Deployed, manifest: Manifest, path: Path) -> None:
    """Writes the network, its decoding and its manifest, for pictures of the input's size.

    Args:
        deployed: The network.
        manifest: Says whether the batch is fixed.
        path: Where it goes.

    Raises:
        UserError: The network has operations that `check_archive` does not let through.
        OSError: It cannot be written.
    """
    program = _export(deployed, manifest)
    _forget_origin(program)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Of how it finds tensors that share memory.
        torch.export.save(program, content, extra_files={KEY: manifest.to_json()})
    try:
        check_archive(content.getvalue())
    except UnsafeProgramError as error:
        raise UserError(
            f"this network cannot be written so that its file would be opened again: {error}"
        ) from error
    replace_durably(path, lambda file: file.write(content.getvalue()))


def _export(deployed: Deployed, manifest: Manifest) -> ExportedProgram:
    # Of two pictures, as torch.export takes a size of one for a constant.
    images = torch.zeros(manifest.batch or 2, *manifest.input_size, 3, dtype=torch.uint8)
    arguments: tuple[Tensor, ...] = (images,)
    network: nn.Module
    if isinstance(deployed, DeployedDetector):
        anchors = deployed.outputs(images[:1]).anchors
        network = DecodedDetector(deployed, anchors, manifest.decoding)
        arguments = (images, torch.zeros(()))
    else:
        network = DecodedSegmenter(deployed, align_corners=manifest.decoding["align_corners"])
    batch = None if manifest.batch is not None else {0: Dim("batch")}
    shapes = (batch, *(None for _ in arguments[1:]))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Of torchvision's NMS, by torch itself.
        try:
            return torch.export.export(network.eval(), arguments, dynamic_shapes=shapes)
        except Exception as error:  # Its own and those of what it traces.
            raise UserError(
                "this network cannot be written by torch.export, which cannot trace one of its "
                f"operations ({type(error).__name__})"
            ) from error


def _forget_origin(program: ExportedProgram) -> None:
    """Takes out example inputs, which are stored as a pickle, and places in source files."""
    program._example_inputs = None
    for node in program.graph.nodes:
        node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
