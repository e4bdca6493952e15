"""Joint checkpoints that pictures are shown to: boxes and label map of one backbone pass."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mnv2_dense.builders.joint import split_categories
from mnv2_dense.builders.opening import open_any_content
from mnv2_dense.builders.parts import input_size
from mnv2_dense.config.schema import JointConfig
from mnv2_dense.drawing import Picture
from mnv2_dense.errors import UserError
from mnv2_dense.joint.network import JointNetwork
from mnv2_dense.joint.task import JointPrediction, JointTask
from mnv2_dense.ops.folding import fold_norms
from mnv2_dense.prediction.predictor import SCORE_THRESHOLD
from mnv2_dense.prediction.preparing import resize_picture
from mnv2_dense.prediction.results import DetectionResult, SegmentationResult, Times
from mnv2_dense.structures import Detections, ImageSize


class JointResult(NamedTuple):
    """What both heads see in a picture, each as a network of its own would say it."""

    detection: DetectionResult
    segmentation: SegmentationResult


class JointPredictor:
    """A joint network with its norms folded, run by PyTorch.

    Args:
        content: Of the checkpoint.
        path: Where it was read, for messages.
        overrides: Changes to its config, `key.path=value`.
        device: Where it runs.
        score_threshold: Lowest score of a box.

    Attributes:
        engine: What runs it, for users.

    Raises:
        UserError: It is of no joint network, or does not fit its own config; or there is no such
            device.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        path: Path,
        *,
        overrides: Sequence[str] = (),
        device: str = "cpu",
        score_threshold: float = SCORE_THRESHOLD,
    ) -> None:
        config, categories, task = open_any_content(content, path, overrides)
        if not isinstance(config, JointConfig) or not isinstance(task, JointTask):
            raise UserError(f"{path}: of task {config.task}; a checkpoint of task joint is needed")
        boxed, masked = split_categories(config, categories)
        self.boxed, self.masked = tuple(boxed), tuple(masked)
        self.size = input_size(config)
        self.engine = f"PyTorch {torch.__version__}"
        folded = fold_norms(task.network)
        assert isinstance(folded, JointNetwork)
        task.network = folded
        task.decoder.score_threshold = score_threshold
        try:
            self.task = task.to(device).eval()
        except (RuntimeError, AssertionError) as error:  # The latter where torch was built so.
            reason = str(error).splitlines()[0]
            raise UserError(f"device={device} cannot be used here: {reason}") from error
        self.task.setup("predict")

    def predict(self, picture: Picture, source: str = "picture") -> JointResult:
        """What both heads see.

        Args:
            picture: uint8 RGB [H, W, 3].
            source: What it is called.
        """
        seen = see_picture(self.task, picture, self.size)
        shared: dict[str, Any] = {
            "source": source,
            "size": ImageSize(*picture.shape[:2]),
            "engine": self.engine,
            "times": Times(),
            "picture": picture,
        }
        boxes, scores, labels = (part.numpy() for part in seen.detections)
        return JointResult(
            DetectionResult(
                categories=self.boxed, boxes=boxes, scores=scores, labels=labels, **shared
            ),
            SegmentationResult(categories=self.masked, label_map=seen.label_map.numpy(), **shared),
        )


@torch.inference_mode()
def see_picture(task: JointTask, picture: Picture, size: ImageSize) -> JointPrediction:
    """What a network, in evaluation mode, sees in a picture; on the CPU.

    Args:
        task: Has the network.
        picture: uint8 RGB [H, W, 3].
        size: Of the network's input.
    """
    resized = torch.from_numpy(resize_picture(picture, size, "bilinear"))
    images = resized.permute(2, 0, 1).unsqueeze(0).to(task.device)
    (seen,) = task.see(images, [ImageSize(*picture.shape[:2])])
    return JointPrediction(
        Detections(*(part.cpu() for part in seen.detections)), seen.label_map.cpu()
    )
