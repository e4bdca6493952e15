"""Other programs and bare runtimes on the same task, called as their own users call them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteClassificationHead, SSDLiteHead
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from mnv2_dense.benchmarking.random_weights import fit_norms, set_candidates
from mnv2_dense.benchmarking.subjects import DETECTED, Subject, as_batch
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

Call = Callable[[], Any]
SEGMENTED_SIZE = ImageSize(513, 513)
# Of torchvision's published segmentation weights.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build_ssdlite(picture: Picture) -> SSD:
    """Torchvision's SSDLite with random weights that give as many candidates as ours."""
    torch.manual_seed(0)
    model = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=DETECTED + 1
    )
    # As its own transform does: 0 to 1, mean and deviation of a half.
    images = as_batch(picture, ImageSize(320, 320)) / 127.5 - 1
    fit_norms(_SsdMaps(model), images)
    with torch.no_grad():
        logits = _SsdMaps(model)(images[:1])
    head = model.head
    assert isinstance(head, SSDLiteHead)
    assert isinstance(head.classification_head, SSDLiteClassificationHead)
    set_candidates(head.classification_head.module_list, logits)
    return model.eval()


class _SsdMaps(nn.Module):
    """The class logits of torchvision's SSD for normalised images."""

    def __init__(self, model: SSD) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, A, slots]."""
        features = list(self.model.backbone(images).values())
        return self.model.head(features)["cls_logits"]


def ssdlite_call(model: SSD, picture: Picture, score_threshold: float) -> Call:
    """From a decoded picture to boxes, with its own resizing and normalisation."""

    @torch.inference_mode()
    def call() -> Any:
        model.score_thresh = score_threshold
        return model([torch.from_numpy(picture).permute(2, 0, 1).float().div(255)])

    return call


def build_deeplab() -> nn.Module:
    """Torchvision's DeepLabv3 on MobileNetV3, 21 classes, random weights."""
    torch.manual_seed(0)
    model = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    return model.eval()


def deeplab_call(model: nn.Module, picture: Picture, *, argmax: bool) -> Call:
    """From a decoded picture to its label map: padded, or scaled to fit and back.

    Args:
        model: See `build_deeplab`.
        picture: What it is shown.
        argmax: By `argmax(1)`, as torchvision's examples; else by the faster `max(1)`.
    """
    size = ImageSize(*picture.shape[:2])
    factor = min(1.0, *(side / length for side, length in zip(SEGMENTED_SIZE, size, strict=True)))
    small = [max(1, round(length * factor)) for length in size]
    padding = (0, SEGMENTED_SIZE.width - small[1], 0, SEGMENTED_SIZE.height - small[0])
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (_MEAN, _STD))

    @torch.inference_mode()
    def call() -> Any:
        image = (torch.from_numpy(picture).permute(2, 0, 1).float().div(255) - mean) / std
        if factor < 1:
            image = F.interpolate(image[None], size=small, mode="bilinear", antialias=True)[0]
        logits = model(F.pad(image, padding)[None])["out"][..., : small[0], : small[1]]
        if factor < 1:
            logits = F.interpolate(logits, size=size, mode="bilinear")
        labels = logits.argmax(1) if argmax else logits.max(1).indices
        return labels.to(torch.uint8).numpy()

    return call


def bare_runtime_call(subject: Subject, threads: int) -> Call:
    """ONNX Runtime on the network alone: no resizing, decoding, NMS, up-sampling or argmax.

    Raises:
        UserError: It is not installed.
    """
    try:
        import onnx_ir
        import onnxruntime

        from mnv2_dense.exporting.onnx_network import IMAGES, trace_network
    except ImportError as error:
        raise UserError(f"bare ONNX Runtime: {error.name} is not installed") from error
    file = io.BytesIO()
    graph = onnx_ir.to_proto(trace_network(subject.deployed, subject.manifest))
    file.write(graph.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    images = _images(subject.manifest.input_size)
    return lambda: session.run(None, {IMAGES: images})


def tflite_call(path: Path, threads: int) -> Call:
    """The TFLite runtime on a file of one uint8 or float input, from its input to its outputs.

    Raises:
        UserError: It cannot be opened.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError("--tflite needs LiteRT; pip install 'mnv2-dense[litert]'") from error
    try:
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"--tflite {path}: cannot be opened ({error})") from error
    (given,) = interpreter.get_input_details()
    images = np.random.default_rng(0).integers(0, 255, given["shape"]).astype(given["dtype"])
    outputs = [each["index"] for each in interpreter.get_output_details()]

    def call() -> Any:
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return call


def _images(size: ImageSize) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (1, *size, 3), np.uint8)
