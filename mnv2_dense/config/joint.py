"""What the config of a joint network may hold: a detector and a segmenter over one backbone."""

from typing import Literal

from pydantic import ValidationError, model_validator

from mnv2_dense.config.detection import (
    Anchors,
    Decode,
    DetectionAugmentation,
    DetectionConfig,
    DetectionData,
    DetectionEvaluation,
    DetectionHead,
    DetectionInput,
    DetectionLoss,
    Matching,
)
from mnv2_dense.config.sections import (
    Backbone,
    Input,
    Optimizer,
    Positive,
    RunName,
    Schedule,
    Section,
    Training,
)
from mnv2_dense.config.segmentation import (
    SegmentationAugmentation,
    SegmentationBackbone,
    SegmentationConfig,
    SegmentationData,
    SegmentationHead,
    SegmentationInput,
    SegmentationLoss,
)

SHARED = ("name", "optimizer", "schedule", "training")
"""Keys that the configs of both columns take over as they are."""


class DetectionPart(Section):
    """The detector of a joint network: sections as in a config of task detection."""

    data: DetectionData = DetectionData()
    augmentation: DetectionAugmentation = DetectionAugmentation()
    head: DetectionHead = DetectionHead()
    anchors: Anchors = Anchors()
    matching: Matching = Matching()
    loss: DetectionLoss = DetectionLoss()
    decode: Decode = Decode()
    evaluation: DetectionEvaluation = DetectionEvaluation()


class SegmentationPart(Section):
    """The segmenter of a joint network: sections as in a config of task segmentation.

    There is no `evaluation`: every picture is seen once, resized to the input, by both heads.
    """

    data: SegmentationData = SegmentationData()
    augmentation: SegmentationAugmentation = SegmentationAugmentation()
    head: SegmentationHead = SegmentationHead()
    loss: SegmentationLoss = SegmentationLoss()


class Joint(Section):
    """How the two are trained together."""

    segmentation_weight: Positive = 1.0
    """Factor of the segmenter's loss; the detector's has its own factors in `detection.loss`."""


class JointConfig(Section):
    """A detector and a segmenter that read the maps of one backbone, trained in turn."""

    task: Literal["joint"] = "joint"
    """What the network predicts."""
    name: RunName = "joint"
    """Name of the runs of this config: letters, digits, `_`, `.` and `-`."""
    detection: DetectionPart = DetectionPart()
    segmentation: SegmentationPart = SegmentationPart()
    joint: Joint = Joint()
    input: Input = Input()
    backbone: Backbone = Backbone()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    training: Training = Training()

    @model_validator(mode="after")
    def _columns_hold(self) -> "JointConfig":
        for column, name in ((self.detector, "detection"), (self.segmenter, "segmentation")):
            try:
                column()
            except ValidationError as error:
                first = error.errors()[0]
                reason = first.get("ctx", {}).get("error", first["msg"])
                raise ValueError(f"{name}.{reason}") from error
        return self

    def detector(self) -> DetectionConfig:
        """The detector alone: what builds and feeds its column."""
        parts = {name: getattr(self.detection, name) for name in DetectionPart.model_fields}
        shared = {key: getattr(self, key) for key in (*SHARED, "backbone")}
        return DetectionConfig(input=DetectionInput(**self.input.model_dump()), **parts, **shared)

    def segmenter(self) -> SegmentationConfig:
        """The segmenter alone, at the same input and output stride."""
        parts = {name: getattr(self.segmentation, name) for name in SegmentationPart.model_fields}
        return SegmentationConfig(
            input=SegmentationInput(**self.input.model_dump()),
            backbone=SegmentationBackbone(**self.backbone.model_dump()),
            **parts,
            **{key: getattr(self, key) for key in SHARED},
        )
