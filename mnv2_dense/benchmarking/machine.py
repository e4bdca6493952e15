"""What figures were measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import cv2
import torch

from mnv2_dense.ops.processor import processor_name

LIBRARIES = (
    *("torch", "torchvision", "onnxruntime", "openvino", "ai-edge-litert"),
    *("numpy", "opencv-python-headless", "pillow", "mnv2-dense"),
)


def describe_machine() -> dict[str, str | int | float]:
    """Processor, cores, load, system, and versions of the libraries that are installed."""
    described: dict[str, str | int | float] = {
        "processor": processor_name(),
        "cores": _cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    if hasattr(os, "getloadavg"):
        described["load_before"] = round(os.getloadavg()[0], 2)
    for library in LIBRARIES:
        try:
            described[library] = version(library)
        except PackageNotFoundError:
            continue
    return described


def use_threads(threads: int) -> None:
    """Sets the threads of PyTorch and OpenCV, which belong to the whole process."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
