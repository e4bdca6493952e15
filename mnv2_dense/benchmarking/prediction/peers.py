"""Other programs and bare runtimes on the same task, called as their own users call them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteClassificationHead, SSDLiteHead
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from mnv2_dense.benchmarking.prediction.random_weights import fit_norms, set_candidates
from mnv2_dense.benchmarking.prediction.settings import DETECTED
from mnv2_dense.benchmarking.prediction.subjects import Subject, as_batch
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.structures import ImageSize

Call = Callable[[], Any]
SEGMENTED_SIZE = ImageSize(513, 513)
# Of torchvision's published segmentation weights.
_MEAN = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
_STD = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


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


def build_deeplab(picture: Picture) -> nn.Module:
    """Torchvision's DeepLabv3 on MobileNetV3, 21 classes, random weights fitted to the picture."""
    torch.manual_seed(0)
    model = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    fit_norms(model, (as_batch(picture, SEGMENTED_SIZE) / 255 - _MEAN) / _STD)
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

    @torch.inference_mode()
    def call() -> Any:
        image = (torch.from_numpy(picture).permute(2, 0, 1).float().div(255) - _MEAN) / _STD
        if factor < 1:
            image = F.interpolate(image[None], size=small, mode="bilinear", antialias=True)[0]
        logits = model(F.pad(image, padding)[None])["out"][..., : small[0], : small[1]]
        if factor < 1:
            logits = F.interpolate(logits, size=size, mode="bilinear")
        labels = logits.argmax(1) if argmax else logits.max(1).indices
        return labels.to(torch.uint8).numpy()

    return call


def bare_runtime_call(subject: Subject, threads: int, images: NDArray[np.uint8]) -> Call:
    """ONNX Runtime on the network alone: no resizing, decoding, NMS, up-sampling or argmax.

    Args:
        subject: Its graph begins as that of the exported file: with uint8, normalised inside.
        threads: Of the runtime.
        images: [1, H, W, 3] RGB of the input's size.

    Raises:
        UserError: It is not installed.
    """
    try:
        import onnx_ir
        import onnxruntime

        from mnv2_dense.exporting.onnx_network import trace_network
        from mnv2_dense.prediction.engine import IMAGES
    except ImportError as error:
        raise UserError(f"bare ONNX Runtime: {error.name} is not installed") from error
    graph = onnx_ir.to_proto(trace_network(subject.deployed, subject.manifest))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {IMAGES: images})


def tflite_call(path: Path, threads: int, size: ImageSize) -> Call:
    """The TFLite runtime on a file, from its input to its outputs.

    Raises:
        UserError: See `open_tflite`.
    """
    interpreter = open_tflite(path, threads, size)
    (given,) = interpreter.get_input_details()
    images = np.random.default_rng(0).integers(0, 255, given["shape"]).astype(given["dtype"])
    outputs = [each["index"] for each in interpreter.get_output_details()]

    def call() -> Any:
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return call


def open_tflite(path: Path, threads: int, size: ImageSize) -> Any:
    """The interpreter of a file whose one input is a picture [1, H, W, 3] of a size.

    Raises:
        UserError: It cannot be opened, or is for something else.
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
    shapes = [tuple(map(int, each["shape"])) for each in interpreter.get_input_details()]
    if shapes != [(1, *size, 3)]:
        raise UserError(
            f"--tflite {path}: its inputs are {shapes}; what is timed has one of {(1, *size, 3)}"
        )
    return interpreter
