"""What is timed of each network: ours with every engine, its parts, and its peers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import torch

from mnv2_dense.benchmarking.peers import (
    bare_runtime_call,
    build_deeplab,
    build_ssdlite,
    deeplab_call,
    ssdlite_call,
    tflite_call,
)
from mnv2_dense.benchmarking.random_weights import CANDIDATES
from mnv2_dense.benchmarking.subjects import Opened, Subject
from mnv2_dense.drawing import Picture
from mnv2_dense.prediction.network import DeployedDetector, deploy
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.preparing import pad_picture, resize_picture

Calls = dict[str, Callable[[], Any]]
ALONE, EAGER, FOLDED = "ONNX Runtime, network alone", "eager network", "folded network"
TORCHVISION, TFLITE = "torchvision", "TFLite runtime"
THRESHOLDS = tuple(sorted(CANDIDATES, reverse=True))
LARGER = 1600
"""Longer side of the larger picture."""


def whole(engine: str, setting: object) -> str:
    """Name of the whole call of ours, from a decoded picture to the result."""
    return f"ours by {engine}, {setting}"


def inside(setting: object) -> str:
    """Name of what the ONNX file does for a picture that is prepared."""
    return f"ONNX file alone, {setting}"


def detector_rows(
    subject: Subject, opened: Mapping[str, Opened], picture: Picture, threads: int
) -> Calls:
    """Calls of SSDLite and its peers; settings are score thresholds."""
    calls: Calls = {}
    model = build_ssdlite(picture)
    prepared = resize_picture(picture, subject.manifest.input_size, subject.manifest.resize)[None]
    for threshold in THRESHOLDS:
        for name, each in opened.items():
            calls[whole(name, threshold)] = _predict(each.predictor, picture, threshold)
        if "onnx" in opened:
            run = opened["onnx"].predictor.engine.run
            calls[inside(threshold)] = _bind(run, prepared, threshold)
        calls[f"{TORCHVISION}, {threshold}"] = ssdlite_call(model, picture, threshold)
    if "onnx" in opened:
        calls[ALONE] = bare_runtime_call(subject, threads)
    return calls | _plain_rows(subject, torch.from_numpy(prepared))


def segmenter_rows(
    subject: Subject,
    opened: Mapping[str, Opened],
    picture: Picture,
    threads: int,
    tflite: Path | None,
) -> Calls:
    """Calls of DeepLabv3 and its peers; settings are the pictures' sizes."""
    calls: Calls = {}
    model = build_deeplab()
    for shown in (picture, enlarge(picture)):
        size = size_of(shown)
        for name, each in opened.items():
            calls[whole(name, size)] = _predict(each.predictor, shown, 0.0)
        calls[f"{TORCHVISION}, {size}"] = deeplab_call(model, shown, argmax=True)
        calls[f"{TORCHVISION} by max(1), {size}"] = deeplab_call(model, shown, argmax=False)
    if "onnx" in opened:
        calls[ALONE] = bare_runtime_call(subject, threads)
    if tflite is not None:
        calls[TFLITE] = tflite_call(tflite, threads)
    small = picture[: subject.manifest.input_size.height, : subject.manifest.input_size.width]
    prepared = pad_picture(small, subject.manifest.input_size, subject.manifest.mean)
    return calls | _plain_rows(subject, torch.from_numpy(prepared)[None])


def _plain_rows(subject: Subject, images: torch.Tensor) -> Calls:
    """The network in plain PyTorch, as it is trained and as it is deployed, up to its raw maps."""
    task, deployed = subject.task.eval(), deploy(subject.task)
    # pyrefly: ignore[no-matching-overload]  torch's stubs lack it
    deployed.to(memory_format=torch.channels_last)
    network = deployed.outputs if isinstance(deployed, DeployedDetector) else deployed

    @torch.inference_mode()
    def eager() -> Any:
        channels_first = images.permute(0, 3, 1, 2).contiguous().float()
        return task.network((channels_first - task.mean) / task.std)

    @torch.inference_mode()
    def folded() -> Any:
        return network(images)

    return {EAGER: eager, FOLDED: folded}


def enlarge(picture: Picture) -> Picture:
    """The picture with a longer side of `LARGER` pixels."""
    factor = LARGER / max(picture.shape[:2])
    return cv2.resize(picture, None, fx=factor, fy=factor).astype(picture.dtype, copy=False)


def size_of(picture: Picture) -> str:
    """Width and height, as in `500x375`."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _predict(predictor: Predictor, picture: Picture, threshold: float) -> Callable[[], Any]:
    return lambda: predictor.predict(picture, score_threshold=threshold)


def _bind(run: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: run(*arguments)
