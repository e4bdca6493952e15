"""What is timed of each network: ours with every engine, its parts, and its peers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mnv2_dense.benchmarking.prediction.lineup import Lineup
from mnv2_dense.benchmarking.prediction.peers import (
    bare_runtime_call,
    build_deeplab,
    build_ssdlite,
    deeplab_call,
    ssdlite_call,
    tflite_call,
)
from mnv2_dense.benchmarking.prediction.random_weights import CANDIDATES
from mnv2_dense.benchmarking.prediction.subjects import Subject
from mnv2_dense.drawing import Picture
from mnv2_dense.prediction.network import DeployedDetector, deploy
from mnv2_dense.prediction.predictor import Predictor
from mnv2_dense.prediction.preparing import prepare_picture

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


def detector_rows(lineup: Lineup) -> Calls:
    """Calls of SSDLite and its peers; settings are score thresholds."""
    calls: Calls = {}
    picture = lineup.picture
    model, images = build_ssdlite(picture), _prepared(lineup)
    for threshold in THRESHOLDS:
        for name, each in lineup.ours.items():
            calls[whole(name, threshold)] = _predict(each.predictor, picture, threshold)
        if "onnx" in lineup.opened:
            run = lineup.opened["onnx"].predictor.engine.run
            calls[inside(threshold)] = partial(run, images, threshold)
        calls[f"{TORCHVISION}, {threshold}"] = ssdlite_call(model, picture, threshold)
    return calls | _network_rows(lineup, images)


def segmenter_rows(lineup: Lineup) -> Calls:
    """Calls of DeepLabv3 and its peers; settings are the pictures' sizes."""
    calls: Calls = {}
    model, images = build_deeplab(lineup.picture), _prepared(lineup)
    for shown in shown_pictures(lineup.picture):
        size = size_of(shown)
        for name, each in lineup.ours.items():
            calls[whole(name, size)] = _predict(each.predictor, shown, 0.0)
        calls[f"{TORCHVISION}, {size}"] = deeplab_call(model, shown, argmax=True)
        calls[f"{TORCHVISION} by max(1), {size}"] = deeplab_call(model, shown, argmax=False)
    calls |= _network_rows(lineup, images)
    tflite, input_size = lineup.wanted.tflite, lineup.subject.manifest.input_size
    if tflite is not None:
        calls[TFLITE] = tflite_call(tflite, lineup.wanted.threads, input_size)
    return calls


def _prepared(lineup: Lineup) -> NDArray[np.uint8]:
    """The picture as the network is shown it, a batch of one."""
    return prepare_picture(lineup.picture, lineup.subject.manifest)[None]


def _network_rows(lineup: Lineup, images: NDArray[np.uint8]) -> Calls:
    """The network up to its raw maps, by ONNX Runtime and by plain PyTorch."""
    plain = _plain_rows(lineup.subject, torch.from_numpy(images))
    if "onnx" not in lineup.opened:
        return plain
    return {ALONE: bare_runtime_call(lineup.subject, lineup.wanted.threads, images)} | plain


def _plain_rows(subject: Subject, images: torch.Tensor) -> Calls:
    """The network in plain PyTorch, as it is trained and as it is deployed."""
    task, deployed = subject.task.eval(), deploy(subject.task)
    # pyrefly: ignore[no-matching-overload]  torch's stubs lack it
    deployed.to(memory_format=torch.channels_last)
    network = deployed.outputs if isinstance(deployed, DeployedDetector) else deployed
    channels_first = images.permute(0, 3, 1, 2).contiguous()

    @torch.inference_mode()
    def eager() -> Any:
        return task.network((channels_first.float() - task.mean) / task.std)

    @torch.inference_mode()
    def folded() -> Any:
        return network(images)

    return {EAGER: eager, FOLDED: folded}


def shown_pictures(picture: Picture) -> list[Picture]:
    """What a segmenter is shown: the picture and, unless it is as large, a larger one."""
    factor = LARGER / max(picture.shape[:2])
    if factor <= 1:
        return [picture]
    larger = cv2.resize(picture, None, fx=factor, fy=factor)
    return [picture, larger.astype(picture.dtype, copy=False)]


def size_of(picture: Picture) -> str:
    """Width and height, as in `500x375`."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _predict(predictor: Predictor, picture: Picture, threshold: float) -> Callable[[], Any]:
    return lambda: predictor.predict(picture, score_threshold=threshold)
