"""Checkpoints run by PyTorch itself."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from mnv2_dense.builders.opening import open_checkpoint
from mnv2_dense.detection.decode import Decoder
from mnv2_dense.detection.task import DetectionTask
from mnv2_dense.errors import UserError
from mnv2_dense.ops.resize import resize_map
from mnv2_dense.prediction.engine import DetectorArrays, Engine, SegmenterArrays
from mnv2_dense.prediction.network import Deployed, DeployedDetector, deploy, describe
from mnv2_dense.structures import ImageSize

SHARES = ImageSize(1, 1)
"""Size of a picture whose boxes are in shares of it."""


class TorchEngine(Engine):
    """A checkpoint with its norms folded, run channels last.

    Args:
        path: The checkpoint.
        overrides: Changes to its config, `key.path=value`.
        threads: Of PyTorch, in the whole process; None leaves them as they are.
        device: Where it runs.

    Attributes:
        deployed: The network.
        config: That it was built by.

    Raises:
        UserError: The file cannot be read, is not ours, or does not fit its own config; or there is
            no such device.
    """

    def __init__(
        self,
        path: Path,
        *,
        overrides: Sequence[str] = (),
        threads: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.config, categories, task = open_checkpoint(path, overrides)
        self.name = f"PyTorch {torch.__version__}"
        self.manifest = describe(self.config, categories)
        try:
            self._device = torch.device(device)
            self.deployed: Deployed = deploy(task).to(self._device)
        except (RuntimeError, AssertionError) as error:  # Of no known kind, or not there.
            reason = str(error).splitlines()[0]
            raise UserError(f"device={device} cannot be used here: {reason}") from error
        self.deployed.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
        self._decoder = task.decoder if isinstance(task, DetectionTask) else None

    @override
    @torch.inference_mode()
    def run(
        self, images: NDArray[np.uint8], score_threshold: float = 0.0
    ) -> DetectorArrays | SegmenterArrays:
        batch = torch.from_numpy(images).to(self._device)
        if isinstance(self.deployed, DeployedDetector):
            assert self._decoder is not None
            decoder = raise_threshold(self._decoder, score_threshold)
            detections = decoder(self.deployed.outputs(batch), [SHARES] * len(images))
            columns = (_stack(column) for column in zip(*detections, strict=True))
            return DetectorArrays(*columns)
        class_logits = self.deployed(batch)
        size = ImageSize(*images.shape[1:3])
        pixels = resize_map(class_logits, size, self.manifest.decoding["align_corners"])
        # The same as argmax, and several times faster over this dimension.
        labels = pixels.max(dim=1).indices.to(torch.uint8)
        return SegmenterArrays(labels.cpu().numpy(), class_logits.contiguous().cpu().numpy())


def raise_threshold(decoder: Decoder, score_threshold: float) -> Decoder:
    """A decoder whose threshold is at least the given one."""
    raised = copy(decoder)
    raised.score_threshold = max(score_threshold, decoder.score_threshold)
    return raised


def _stack(column: Sequence[Tensor]) -> np.ndarray:
    """One part of the detections of several pictures, filled up with zeros."""
    return pad_sequence(list(column), batch_first=True).cpu().numpy()
