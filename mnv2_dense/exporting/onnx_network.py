"""Deployed networks traced into ONNX graphs, up to the raw maps that decoding begins with."""

import io
import threading
import warnings
from collections.abc import Sequence
from copy import deepcopy
from functools import partial

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn
from typing_extensions import override

from mnv2_dense.backbone.blocks import SamePadConv2d
from mnv2_dense.errors import UserError
from mnv2_dense.exporting.levels import Levels
from mnv2_dense.prediction.engine import IMAGES
from mnv2_dense.prediction.manifest import Manifest
from mnv2_dense.prediction.network import Deployed, DeployedDetector

OPSET = 18
"""Of the graphs."""

_tracing = threading.Lock()


def trace_network(deployed: Deployed, manifest: Manifest) -> ir.Model:
    """The network as a graph whose outputs are maps [B, channels, h, w].

    By the tracing exporter: it takes 0.7 s, the one over torch.export 6 s and more, and all that
    would need the latter is not part of this graph.

    Args:
        deployed: A segmenter gives its class logits. A detector gives the class map of each level,
            then the box map of each.
        manifest: Says which of batch, height and width are fixed.

    Raises:
        UserError: The network has an operation that the exporter does not know.
    """
    network = _Maps(deployed).eval()
    same = _replace_same(network)
    images = torch.zeros(manifest.batch or 1, *manifest.input_size, 3, dtype=torch.uint8)
    file = io.BytesIO()
    # Both work on the state of the whole process.
    with _tracing, warnings.catch_warnings():
        # Of the tracing exporter itself; and of what it takes for constant, as many pools of timm
        # do with their size. What that spoils does not pass the verification.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        try:
            torch.onnx.export(
                network,
                (images,),
                file,  # pyrefly: ignore[bad-argument-type]  the tracing one takes it
                input_names=[IMAGES],
                dynamic_axes={IMAGES: _dynamic_axes(manifest)},
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise UserError(
                "this network cannot be written as ONNX: PyTorch's exporter does not know one of "
                "its operations (as the pools of backbone.padding=same outside of MobileNetV2)"
            ) from error
    model = ir.from_proto(_infer_shapes(onnx.load_from_string(file.getvalue())))
    _pad_as_same(model.graph, same)
    return model


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes of its outputs as they follow: the exporter gives those traced."""
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model)


def _dynamic_axes(manifest: Manifest) -> dict[int, str]:
    axes = {} if manifest.batch is not None else {0: "batch"}
    return axes | ({1: "height", 2: "width"} if manifest.dynamic_size else {})


class _Maps(nn.Module):
    """Pictures to the network's raw maps."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deepcopy(deployed)
        if isinstance(self.deployed, DeployedDetector):
            self.deployed.network = Levels(self.deployed.network)

    @override
    def forward(self, images: Tensor) -> Tensor | Sequence[Tensor]:
        if isinstance(self.deployed, DeployedDetector):
            return self.deployed.outputs(images)
        return self.deployed(images)


def _replace_same(network: nn.Module) -> set[str]:
    """Lets convolutions padded as SAME pad by a constant, which is traced as one operation.

    Returns: The names of their weights; the size of what they give is right.
    """
    names = set()
    for name, module in network.named_modules():
        if isinstance(module, SamePadConv2d):
            module.padding = tuple((side - 1) // 2 for side in module.kernel_size)
            module.forward = partial(nn.Conv2d.forward, module)  # pyrefly: ignore[method-assign]
            names.add(f"{name}.weight")
    return names


def _pad_as_same(graph: ir.Graph, weights: set[str]) -> None:
    """Gives convolutions ONNX's own SAME_UPPER, which is the rule of `SamePadConv2d`."""
    for node in graph:
        weight = node.inputs[1] if node.op_type == "Conv" else None
        if weight is not None and weight.name in weights:
            del node.attributes["pads"]
            node.attributes["auto_pad"] = ir.AttrString("auto_pad", "SAME_UPPER")
