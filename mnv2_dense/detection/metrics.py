"""COCO box metrics: the twelve numbers and the precision of every class.

`evaluate` is the functional core and needs no process group;
`CocoDetectionMetric` collects detections over batches and processes and calls it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from typing_extensions import override

from mnv2_dense.coco_evaluation.evaluation import Backend
from mnv2_dense.coco_evaluation.instances import ground_truth_of
from mnv2_dense.coco_evaluation.records import GroundTruth, Results
from mnv2_dense.detection.scoring import DetectionScores, coco_results, evaluate
from mnv2_dense.error_analysis import ErrorAnalysis, analyze_errors
from mnv2_dense.structures import Category, Detections


class CocoDetectionMetric(Metric):
    """`evaluate` over all images given to `update`, in every process, each image once.

    Samplers of several processes repeat images to make the shares even; the first occurrence
    (lowest rank, then earliest update) counts. The order of updates does not matter.

    The states stay on the metric's device, since NCCL gathers only GPU tensors and gloo takes
    either; they are small: 100 detections are 2.8 kB. Every process computes the same scores,
    so each can steer its own callbacks by them.

    Args:
        read_ground_truth: Gives what `evaluate` measures against; called at the first `compute`,
            as a network that only predicts needs no ground truth.
        categories: classes in label order, as the labels of the detections count them.
        backend: what computes the scores; see `evaluate`.
        kwargs: torchmetrics' own options.
    """

    is_differentiable: bool | None = False
    higher_is_better: bool | None = True
    full_state_update: bool | None = False

    image_ids: list[Tensor]
    counts: list[Tensor]
    boxes: list[Tensor]
    scores: list[Tensor]
    labels: list[Tensor]

    def __init__(
        self,
        read_ground_truth: Callable[[], GroundTruth | Mapping[str, Any]],
        categories: Sequence[Category],
        *,
        backend: Backend = "mnv2_dense",
        **kwargs: Any,
    ) -> None:
        """Start with no image seen."""
        super().__init__(**kwargs)
        self.read_ground_truth = read_ground_truth
        self.categories = tuple(categories)
        self.backend = backend
        self._ground_truth: GroundTruth | None = None
        for name in _empty_states(self.device):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    # pyrefly: ignore[bad-override]  torchmetrics' own signature is (*args, **kwargs)
    def update(self, image_ids: Sequence[int], detections: Sequence[Detections]) -> None:
        """Add one batch: an image without detections belongs in it too, with empty tensors.

        Raises:
            ValueError: not one image id per entry of `detections`.
        """
        if len(image_ids) != len(detections):
            raise ValueError(f"{len(image_ids)} image ids for {len(detections)} detections")
        if not detections:
            return
        counts = [len(found.scores) for found in detections]
        batch = {
            "image_ids": torch.tensor(image_ids),
            "counts": torch.tensor(counts),
            "boxes": torch.cat([found.boxes.reshape(-1, 4) for found in detections]),
            "scores": torch.cat([found.scores for found in detections]),
            "labels": torch.cat([found.labels for found in detections]),
        }
        for name, empty in _empty_states(self.device).items():
            getattr(self, name).append(batch[name].detach().to(empty))

    def compute(self) -> DetectionScores:
        """Scores over the images seen by all processes.

        Raises:
            UserError: the ground truth cannot be read, or lacks an image that was seen.
        """
        image_ids = self._joined("image_ids").tolist()
        return evaluate(self._truth(), self.results(), image_ids, backend=self.backend)

    def analyze(self) -> ErrorAnalysis:
        """Where AP is lost over the images seen by this process; within `sync_context()`, by all.

        Raises:
            UserError: See `compute`.
        """
        image_ids = self._joined("image_ids").tolist()
        return analyze_errors(self._truth(), self.results(), image_ids=image_ids)

    def results(self) -> Results:
        """COCO results of the images seen by this process; within `sync_context()`, by all."""
        counts = self._joined("counts").tolist()
        parts = [self._joined(name).split(counts) for name in ("boxes", "scores", "labels")]
        detections = [Detections(*found) for found in zip(*parts, strict=True)]
        return coco_results(self._joined("image_ids").tolist(), detections, self.categories)

    @override
    def sync(
        self,
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any | None = None,
        should_sync: bool = True,
        distributed_available: Callable[..., Any] | None = None,
    ) -> None:
        """Gather the states of all processes, also where a process saw no image.

        There torchmetrics would send a flat float tensor for every state, which does not fit
        the [N, 4] or integer tensors of the others, so typed empty tensors go first.
        """
        for name, empty in _empty_states(self.device).items():
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                getattr(self, name).append(empty)
        super().sync(dist_sync_fn, process_group, should_sync, distributed_available)

    def _truth(self) -> GroundTruth:
        """What is measured against, read once."""
        if self._ground_truth is None:
            content = self.read_ground_truth()
            known = isinstance(content, GroundTruth)
            self._ground_truth = content if known else ground_truth_of(content)
        return self._ground_truth

    def _joined(self, name: str) -> Tensor:
        state = getattr(self, name)
        empty = _empty_states(self.device)[name]
        return (state if isinstance(state, Tensor) else dim_zero_cat([empty, *state])).cpu()


def _empty_states(device: torch.device) -> dict[str, Tensor]:
    """Name, type and row shape of every state."""
    integers = torch.empty(0, dtype=torch.int64, device=device)
    floats = torch.empty(0, dtype=torch.float32, device=device)
    return {
        "image_ids": integers,
        "counts": integers,
        "boxes": floats.reshape(0, 4),
        "scores": floats,
        "labels": integers,
    }
